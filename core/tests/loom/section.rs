//! What the lock protects: a plain cell, and what every owner may expect to find in it.

#![expect(unsafe_code, reason = "data that only the lock protects; loom fails the model at a race")]

use loom::cell::UnsafeCell;

/// Data that only the lock protects.
pub(crate) struct Section {
    cell: UnsafeCell<Data>,
}

// SAFETY:
// - The cell is accessed by `UnsafeCell::with_mut` of loom only, which panics when two accesses are
//   not ordered.
unsafe impl Sync for Section {}

#[derive(Default)]
struct Data {
    /// Somebody has begun a section and not ended it.
    torn: bool,
    /// Somebody was told of a death, and nobody has declared the data consistent.
    died: bool,
    fencing_token: u64,
    ended: u32,
}

impl Section {
    pub(crate) fn new() -> Self {
        Self { cell: UnsafeCell::new(Data::default()) }
    }

    fn with<R>(&self, act: impl FnOnce(&mut Data) -> R) -> R {
        self.cell.with_mut(|data| {
            // SAFETY:
            // - valid: `data` comes from a cell that `self` keeps alive.
            // - not shared: loom has checked that this access is ordered with all others.
            act(unsafe { &mut *data })
        })
    }

    /// The first accesses of a new owner.
    pub(crate) fn begin(&self, owner_died: bool, fencing_token: u64) {
        self.with(|data| {
            assert!(
                owner_died || !data.torn,
                "an owner has not been told that the one before it died"
            );
            assert!(owner_died || !data.died, "DIED was lost");
            assert!(fencing_token > data.fencing_token, "a fencing token came twice");
            *data = Data { torn: true, died: owner_died, fencing_token, ended: data.ended };
        });
    }

    /// The last accesses of an owner.
    pub(crate) fn end(&self) {
        self.with(|data| {
            data.torn = false;
            data.ended += 1;
        });
    }

    /// The owner has found the data consistent.
    pub(crate) fn mend(&self) {
        self.with(|data| data.died = false);
    }

    /// How many sections have been finished. For the end of a model.
    pub(crate) fn ended(&self) -> u32 {
        self.with(|data| data.ended)
    }
}
