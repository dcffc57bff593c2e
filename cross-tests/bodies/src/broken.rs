//! Provides a broken lock, which the test of mutual exclusion must detect.

use shmlock_core::AtomicU32;
use shmlock_core::Token;

use core::sync::atomic::Ordering::Relaxed;

/// A lock that acquires by a load and a store instead of a compare-and-swap. A member between the
/// two enters the critical section as well.
pub(crate) struct BrokenLock<'a> {
    pub(crate) word: &'a AtomicU32,
    pub(crate) me: Token,
}

impl BrokenLock<'_> {
    pub(crate) fn try_acquire(&self) -> bool {
        let free = self.word.load(Relaxed) == 0; // wrong on purpose
        if free {
            self.word.store(self.me.get(), Relaxed);
        }
        free
    }

    pub(crate) fn release(&self) {
        self.word.store(0, Relaxed);
    }
}
