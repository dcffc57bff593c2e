//! Counts the holds of one handle, and tells when count and owner word may disagree.
//!
//! ```text
//!          begin_change             end_change
//! none ----------------> in change ------------> 1 ---> 2 ---> …   nested: only the count moves
//!   ^                      |    ^                |
//!   +----------------------+    +----------------+ the outermost release
//!         end_change               begin_change
//! ```
//!
//! While the handle moves the owner word, its state is *in change*. Foreign code runs meanwhile: a
//! `Wait`, a `Liveness`, a `Fence`, an interrupt handler. If it calls the same handle, the call
//! finds the handle in change, returns [`Error::InUse`], and changes nothing. Without this state it
//! would find its own token in the word and a count of 0. That is the sign of an owner that died
//! before a restart, and the call would take the lock over from the code that it interrupts.
//!
//! The state is one number, so that an interrupt handler sees one state or the next, and nothing
//! between them.

use core::cell::Cell;
use core::sync::atomic::{Ordering, compiler_fence};

use crate::error::Error;

/// The low half counts the holds, the high half the guarded ones among them. So guards never
/// outnumber holds.
const HOLD: u32 = 1;
const HOLDS: u32 = 0xffff;
const GUARD: u32 = 1 << 16;
const NONE: u32 = 0;
const IN_CHANGE: u32 = u32::MAX;

/// The most holds of one handle. One less than the low half can count, so that no count equals
/// [`IN_CHANGE`].
const DEEPEST: u32 = HOLDS - 1;

/// How a hold ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HoldKind {
    /// By the drop of its guard.
    Guarded,
    /// By `release`.
    Unguarded,
}

impl HoldKind {
    /// Returns what a hold of this kind adds to the state.
    const fn weight(self) -> u32 {
        match self {
            Self::Guarded => GUARD | HOLD,
            Self::Unguarded => HOLD,
        }
    }
}

/// How often a handle holds its lock, and by which kinds of hold.
#[derive(Debug)]
pub(super) struct HoldCount {
    state: Cell<u32>,
}

impl HoldCount {
    pub(super) const fn new() -> Self {
        Self { state: Cell::new(NONE) }
    }

    /// Returns `true` if there is no hold, and the handle is not in change.
    #[inline]
    pub(super) fn is_none(&self) -> bool {
        self.state.get() == NONE
    }

    /// Returns `true` if there is a hold, and the handle is not in change.
    #[inline]
    pub(super) fn is_some(&self) -> bool {
        !matches!(self.state.get(), NONE | IN_CHANGE)
    }

    /// Returns `true` if the handle is in change.
    #[inline]
    pub(super) fn is_in_change(&self) -> bool {
        self.state.get() == IN_CHANGE
    }

    /// Returns `true` if there is exactly one hold, and it is of this kind.
    #[inline]
    pub(super) fn is_single(&self, kind: HoldKind) -> bool {
        self.state.get() == kind.weight()
    }

    /// Begins a change of the owner word.
    #[inline]
    pub(super) fn begin_change(&self) {
        self.state.set(IN_CHANGE);
        // Partner: an interrupt handler on this thread or core, which sees this state before it
        // sees the word move.
        compiler_fence(Ordering::SeqCst);
    }

    /// Ends a change of the owner word, with one hold or none.
    #[inline]
    pub(super) fn end_change(&self, hold: Option<HoldKind>) {
        // Partner: as above; it sees the word moved before it sees this state.
        compiler_fence(Ordering::SeqCst);
        self.state.set(hold.map_or(NONE, HoldKind::weight));
    }

    /// Adds a hold of a lock that is held.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::NestingTooDeep`].
    pub(super) fn nest(&self, kind: HoldKind) -> Result<(), Error> {
        match self.state.get() {
            IN_CHANGE => Err(Error::InUse),
            state if state & HOLDS == DEEPEST => Err(Error::NestingTooDeep),
            state => {
                self.state.set(state + kind.weight());
                Ok(())
            }
        }
    }

    /// Removes a hold of a lock that is held more than once.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::NotHeld`]; [`Error::GuardsAlive`] for an unguarded hold if all
    /// holds are guarded.
    pub(super) fn unnest(&self, kind: HoldKind) -> Result<(), Error> {
        match (self.state.get(), kind) {
            (IN_CHANGE, _) => Err(Error::InUse),
            (NONE, _) => Err(Error::NotHeld),
            (state, HoldKind::Unguarded) if state & HOLDS == state / GUARD => {
                Err(Error::GuardsAlive { guards: state / GUARD })
            }
            (state, _) => {
                self.state.set(state - kind.weight());
                Ok(())
            }
        }
    }

    /// Merges all holds into one unguarded hold, if none is guarded. Returns `true` if there is one
    /// then.
    pub(super) fn merge_unguarded(&self) -> bool {
        let unguarded = self.is_some() && self.state.get() < GUARD;
        if unguarded {
            self.state.set(HoldKind::Unguarded.weight());
        }
        unguarded
    }
}
