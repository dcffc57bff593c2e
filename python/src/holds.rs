//! Counts what a thread holds by an object: one explicit hold, and `with` blocks.
//!
//! The lock itself has one hold for all of them. It ends with the last.
//!
//! * `acquire()` of a free lock begins the explicit hold, and `release()` ends it. A second
//!   `acquire()`, also one in a `with` block, adds nothing, as in the Python package.
//! * A block that has acquired the lock ends at its `__exit__`. A block that has not acquired it
//!   ends nothing.
//! * `release(force=True)` ends all of them. Blocks that began before end nothing afterwards.

use std::cell::{Cell, RefCell};

/// An entry of the stack for a block that has not acquired the lock. Epochs begin at 1.
const NOT_ACQUIRED: u32 = 0;

/// The holds of one thread by one object.
#[derive(Debug)]
pub(crate) struct Holds {
    explicit: Cell<bool>,
    blocks: Cell<u32>,
    /// Grows when all holds end at once.
    epoch: Cell<u32>,
    /// For each `with lock:` that this thread is in: the epoch in which it acquired the lock.
    stack: RefCell<Vec<u32>>,
}

impl Holds {
    pub(crate) fn new() -> Self {
        Self {
            explicit: Cell::new(false),
            blocks: Cell::new(0),
            epoch: Cell::new(1),
            stack: RefCell::new(Vec::new()),
        }
    }

    /// Returns `true` if there is any hold.
    pub(crate) fn any(&self) -> bool {
        self.explicit.get() || self.blocks.get() > 0
    }

    /// Returns a number that changes when all holds end at once.
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.get()
    }

    /// Returns the number of blocks that hold the lock.
    pub(crate) fn blocks(&self) -> u32 {
        self.blocks.get()
    }

    /// Counts an explicit acquisition: a hold of its own if there is no other. Returns `true` if
    /// there was none.
    pub(crate) fn begin_explicit(&self) -> bool {
        self.blocks.get() == 0 && !self.explicit.replace(true)
    }

    /// Ends the explicit hold. Returns `true` if it was the last hold.
    pub(crate) fn end_explicit(&self) -> bool {
        self.explicit.replace(false) && self.blocks.get() == 0
    }

    /// Counts a block that has acquired the lock. Returns what [`end_block`](Self::end_block)
    /// needs.
    pub(crate) fn begin_block(&self) -> u32 {
        self.blocks.set(self.blocks.get() + 1);
        self.epoch.get()
    }

    /// Ends a block of this epoch. Returns `true` if it was the last hold.
    pub(crate) fn end_block(&self, epoch: u32) -> bool {
        if epoch != self.epoch.get() || self.blocks.get() == 0 {
            return false;
        }
        self.blocks.set(self.blocks.get() - 1);
        !self.any()
    }

    /// Counts a `with lock:` that has acquired the lock or has not.
    pub(crate) fn enter(&self, acquired: bool) {
        let entry = if acquired { self.begin_block() } else { NOT_ACQUIRED };
        self.stack.borrow_mut().push(entry);
    }

    /// Ends the innermost `with lock:`. Returns `true` if it was the last hold; `None` if this
    /// thread is in none.
    pub(crate) fn exit(&self) -> Option<bool> {
        let entry = self.stack.borrow_mut().pop()?;
        Some(entry != NOT_ACQUIRED && self.end_block(entry))
    }

    /// Ends all holds.
    pub(crate) fn end_all(&self) {
        self.explicit.set(false);
        self.blocks.set(0);
        let next = self.epoch.get().checked_add(1).unwrap_or(1);
        self.epoch.set(next);
    }
}

#[cfg(test)]
mod tests {
    use super::Holds;

    #[test]
    fn an_explicit_hold_outlives_a_block_inside_it() {
        let holds = Holds::new();
        holds.begin_explicit();
        holds.enter(true);
        assert_eq!(holds.exit(), Some(false));
        assert!(holds.any());
        assert!(holds.end_explicit());
        assert!(!holds.any());
    }

    #[test]
    fn a_block_that_has_not_acquired_ends_nothing() {
        let holds = Holds::new();
        holds.enter(true);
        holds.enter(false);
        assert_eq!(holds.exit(), Some(false));
        assert!(holds.any());
        assert_eq!((holds.exit(), holds.exit()), (Some(true), None));
    }

    #[test]
    fn a_block_from_before_the_end_of_all_ends_nothing_afterwards() {
        let holds = Holds::new();
        holds.enter(true);
        let outer = holds.begin_block();
        holds.end_all();
        holds.begin_explicit();
        assert!(!holds.end_block(outer));
        assert_eq!(holds.exit(), Some(false));
        assert!(holds.any() && holds.end_explicit());
    }

    #[test]
    fn an_acquisition_inside_a_block_adds_nothing() {
        let holds = Holds::new();
        holds.enter(true);
        holds.begin_explicit();
        assert_eq!(holds.exit(), Some(true));
        assert!(!holds.any());
    }
}
