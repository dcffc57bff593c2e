//! The negative control: a lock with a hole, which the test of mutual exclusion has to find.

use shmlock_core::AtomicU32;
use shmlock_core::Token;

use core::sync::atomic::Ordering::Relaxed;

/// Takes the word by a load and a store where a compare-and-swap belongs: whoever comes between the
/// two is in as well.
pub(crate) struct BrokenLock<'a> {
    pub(crate) word: &'a AtomicU32,
    pub(crate) me: Token,
}

impl BrokenLock<'_> {
    pub(crate) fn try_take(&self) -> bool {
        let free = self.word.load(Relaxed) == 0; // wrong, and that is what it is for
        if free {
            self.word.store(self.me.get(), Relaxed);
        }
        free
    }

    pub(crate) fn give(&self) {
        self.word.store(0, Relaxed);
    }
}
