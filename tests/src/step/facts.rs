//! What the shared memory says of the child at one moment.

/// See `PROTOCOL.md`, section 3.
pub(super) const WAITERS: u32 = 1 << 31;
pub(super) const DIED: u32 = 1 << 30;
const TOKEN: u32 = DIED - 1;

/// What stood there when the child stopped, or later.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) word: u32,
    pub(super) inside: u64,
    /// Sections that the child has finished.
    pub(super) done: u64,
    /// Sections of the others.
    pub(super) rounds: u64,
}

impl Facts {
    pub(super) fn token(&self) -> u32 {
        self.word & TOKEN
    }

    /// Returns `true` if the lock is free and its next owner owes a wake: it is being passed on.
    pub(super) fn is_passed_on(&self) -> bool {
        self.token() == 0 && self.word & WAITERS != 0
    }
}
