//! Counts the holds of one handle, and says when count and owner word may disagree.
//!
//! ```text
//!          begin_change             end_change
//! none ----------------> in change ------------> 1 ---> 2 ---> …   nested holds: only the count moves
//!   ^                      |    ^                |
//!   +----------------------+    +----------------+ the outermost release
//!         end_change               begin_change
//! ```
//!
//! While the handle moves the owner word, its state is *in change*. Foreign code runs in the middle
//! of that: a `Wait`, a `Liveness`, a `Fence`, an interrupt handler. If such code calls the same
//! handle again, it finds the handle in change, is answered [`Error::InUse`], and changes nothing.
//! Otherwise it would find its own token in the word while the count is 0. That is the sign of a
//! dead former life, and it would take the lock over from the code that it interrupts.
//!
//! All of it is one number, so that an interrupt handler sees one state or the next, and nothing
//! between them.

use core::cell::Cell;
use core::sync::atomic::{Ordering, compiler_fence};

use crate::error::Error;

/// The low half counts the holds, the high half those of them that are guards'. So guards never
/// outnumber holds.
const HOLD: u32 = 1;
const HOLDS: u32 = 0xffff;
const GUARD: u32 = 1 << 16;
const NONE: u32 = 0;
const IN_CHANGE: u32 = u32::MAX;

/// The most holds of one handle. One less than the low half can count, so that no count looks like
/// [`IN_CHANGE`].
const DEEPEST: u32 = HOLDS - 1;

/// How a hold ends: by its guard, or by `release`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    Guard,
    Bare,
}

impl Hold {
    /// What this hold adds to the number.
    const fn weight(self) -> u32 {
        match self {
            Self::Guard => GUARD | HOLD,
            Self::Bare => HOLD,
        }
    }
}

/// How often a handle holds its lock, and by what.
#[derive(Debug)]
pub(super) struct HoldCount {
    state: Cell<u32>,
}

impl HoldCount {
    pub(super) const fn new() -> Self {
        Self { state: Cell::new(NONE) }
    }

    /// Returns `true` if nothing is held and nothing is in change.
    #[inline]
    pub(super) fn is_none(&self) -> bool {
        self.state.get() == NONE
    }

    /// Returns `true` if there is a hold, and the handle is not in change.
    #[inline]
    pub(super) fn is_some(&self) -> bool {
        !matches!(self.state.get(), NONE | IN_CHANGE)
    }

    #[inline]
    pub(super) fn is_in_change(&self) -> bool {
        self.state.get() == IN_CHANGE
    }

    /// Returns `true` if there is one hold, and it is of this kind.
    #[inline]
    pub(super) fn is_just(&self, hold: Hold) -> bool {
        self.state.get() == hold.weight()
    }

    /// Says that the owner word is about to be moved.
    #[inline]
    pub(super) fn begin_change(&self) {
        self.state.set(IN_CHANGE);
        // Partner: an interrupt handler on this thread or core, which sees this state before it
        // sees the word move.
        compiler_fence(Ordering::SeqCst);
    }

    /// Says that the owner word has been moved, or not: there is this one hold, or none.
    #[inline]
    pub(super) fn end_change(&self, hold: Option<Hold>) {
        // Partner: as above; it sees the word moved before it sees this state.
        compiler_fence(Ordering::SeqCst);
        self.state.set(hold.map_or(NONE, Hold::weight));
    }

    /// Counts one hold more of a lock that is held.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::NestingTooDeep`].
    pub(super) fn nest(&self, hold: Hold) -> Result<(), Error> {
        match self.state.get() {
            IN_CHANGE => Err(Error::InUse),
            state if state & HOLDS == DEEPEST => Err(Error::NestingTooDeep),
            state => {
                self.state.set(state + hold.weight());
                Ok(())
            }
        }
    }

    /// Counts one hold less of a lock that is held more often than once.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::NotHeld`]; [`Error::GuardsAlive`] for a bare hold if all holds
    /// are guards'.
    pub(super) fn un_nest(&self, hold: Hold) -> Result<(), Error> {
        match (self.state.get(), hold) {
            (IN_CHANGE, _) => Err(Error::InUse),
            (NONE, _) => Err(Error::NotHeld),
            (state, Hold::Bare) if state & HOLDS == state / GUARD => {
                Err(Error::GuardsAlive { guards: state / GUARD })
            }
            (state, _) => {
                self.state.set(state - hold.weight());
                Ok(())
            }
        }
    }

    /// Makes all holds one bare hold, if none is a guard's. Returns `true` if there is one then.
    pub(super) fn merge(&self) -> bool {
        let bare = self.is_some() && self.state.get() < GUARD;
        if bare {
            self.state.set(Hold::Bare.weight());
        }
        bare
    }
}
