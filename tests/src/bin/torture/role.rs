//! Names the locks of a run, and assigns roles to the seats.

use crate::memory::SLOTS;

/// Handles on it are kept for long.
pub(crate) const BUSY: usize = 0;
/// Handles on it are kept sometimes.
pub(crate) const KEPT: usize = 1;
/// Opened and closed around each critical section: its file is created and removed all the time.
pub(crate) const BRIEF: usize = 2;
/// Nearly all its tokens are taken, so that those of the dead are drawn again at once. See
/// `token_exhaustion.rs`.
pub(crate) const NARROW: usize = 3;
/// Some of its contenders have static tokens. See `fixed.rs`.
pub(crate) const MIXED: usize = 4;
/// Its users are never killed, never probe, and have no watch: a waiter that is not woken waits for
/// ever.
pub(crate) const WAKING: usize = 5;

/// The kind of worker on a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// May be killed at any instruction.
    Mortal,
    /// Uses the lock [`WAKING`], with a poll interval that no run outlasts. May be stopped now and
    /// then; not always, because a continued process reads the word again, and so does not need the
    /// wake that it may have missed.
    Wakeful,
    /// Uses the lock [`MIXED`] by a static token, whose owner's death cannot be proven. May be
    /// stopped.
    Fixed,
    /// Keeps tokens scarce on the lock [`NARROW`]. May be stopped.
    TokenExhaustion,
}

impl Role {
    pub(crate) fn of(seat: usize) -> Self {
        const LAST: usize = SLOTS - 1;
        match seat {
            LAST => Self::TokenExhaustion,
            14 => Self::Fixed,
            10..14 => Self::Wakeful,
            _ => Self::Mortal,
        }
    }

    /// Returns the locks that it uses.
    pub(crate) fn locks(self) -> &'static [usize] {
        match self {
            Self::Mortal => &[BUSY, KEPT, BRIEF, NARROW, MIXED],
            Self::Wakeful => &[WAKING],
            Self::Fixed => &[MIXED],
            Self::TokenExhaustion => &[NARROW],
        }
    }
}
