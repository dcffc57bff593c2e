//! Records what the lock's file and the account say at one moment.

/// The layout of the owner word, `PROTOCOL.md`, section 3.
pub(super) const WAITERS: u32 = 1 << 31;
pub(super) const DIED: u32 = 1 << 30;
const TOKEN: u32 = DIED - 1;

/// The owner word and the account when the child stopped.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) word: u32,
    /// How often the lock has been acquired: the low half of the count.
    pub(super) acquisitions: u32,
    pub(super) inside: u64,
    /// Critical sections that the child has finished.
    pub(super) done: u64,
    /// Critical sections of the other processes.
    pub(super) rounds: u64,
}

impl Facts {
    pub(super) fn token(&self) -> u32 {
        self.word & TOKEN
    }

    /// Returns `true` if the lock is free and WAITERS is set.
    pub(super) fn is_free_with_waiters(&self) -> bool {
        self.token() == 0 && self.word & WAITERS != 0
    }
}
