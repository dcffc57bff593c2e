//! Notes whether a panic ends a critical section, for handles with
//! [`Builder::poisoning`](crate::Builder::poisoning).

use std::cell::Cell;
use std::thread;

/// Whether a panic has ended a part of the hold.
#[derive(Debug)]
pub(crate) struct PanicWatch {
    is_on: bool,
    /// The thread was already panicking when the hold began: a destructor locks.
    began_panicking: Cell<bool>,
    /// A panic has ended the hold, or one that was nested in it.
    has_panicked: Cell<bool>,
}

impl PanicWatch {
    pub(crate) fn new(is_on: bool) -> Self {
        Self { is_on, began_panicking: Cell::new(false), has_panicked: Cell::new(false) }
    }

    /// Notes the beginning of the outermost hold.
    #[inline]
    pub(crate) fn note_begin(&self) {
        if self.is_on {
            self.began_panicking.set(thread::panicking());
            self.has_panicked.set(false);
        }
    }

    /// Notes the end of a hold, nested or outermost.
    #[inline]
    pub(crate) fn note_end(&self) {
        if self.is_on && thread::panicking() && !self.began_panicking.get() {
            self.has_panicked.set(true);
        }
    }

    /// Returns `true` if a panic has ended the hold, or one that was nested in it.
    #[inline]
    pub(crate) fn has_panicked(&self) -> bool {
        self.has_panicked.get()
    }
}
