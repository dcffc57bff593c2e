//! Stands for the protected data: a plain cell, and the assertions of every owner about it.

#![expect(unsafe_code, reason = "data that only the lock protects; loom reports a race")]

use loom::cell::UnsafeCell;

/// Data that only the lock protects.
pub(crate) struct CriticalSection {
    cell: UnsafeCell<Data>,
}

// SAFETY:
// - The cell is accessed by `UnsafeCell::with_mut` of loom only, which panics when two accesses are
//   not ordered.
unsafe impl Sync for CriticalSection {}

#[derive(Default)]
struct Data {
    /// A critical section has begun and not ended.
    torn: bool,
    /// An owner was told of a death, and the data has not been declared consistent since.
    died: bool,
    fencing_token: u64,
    ended: u32,
}

impl CriticalSection {
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

    /// Does the first accesses of a new owner.
    pub(crate) fn begin(&self, owner_died: bool, fencing_token: u64) {
        self.with(|data| {
            assert!(owner_died || !data.torn, "an owner was not told that the previous one died");
            assert!(owner_died || !data.died, "DIED was lost");
            assert!(fencing_token > data.fencing_token, "a fencing token was repeated");
            *data = Data { torn: true, died: owner_died, fencing_token, ended: data.ended };
        });
    }

    /// Does the last accesses of an owner.
    pub(crate) fn end(&self) {
        self.with(|data| {
            data.torn = false;
            data.ended += 1;
        });
    }

    /// Declares the data consistent.
    pub(crate) fn declare_consistent(&self) {
        self.with(|data| data.died = false);
    }

    /// Returns how many critical sections have ended. For the end of a model.
    pub(crate) fn ended(&self) -> u32 {
        self.with(|data| data.ended)
    }
}
