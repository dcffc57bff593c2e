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

use crate::error::Error;

/// The low half counts the guarded holds, the high half the unguarded ones. So one hold of either
/// kind is a number that fits into an instruction.
const GUARDED: u32 = 1;
const UNGUARDED: u32 = 1 << 16;
const NONE: u32 = 0;
const IN_CHANGE: u32 = u32::MAX;

/// The most holds of one handle, of both kinds together. One less than a half can count, so that no
/// count equals [`IN_CHANGE`].
const DEEPEST: u32 = 0xfffe;

/// How a hold ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HoldKind {
    /// By the drop of its guard.
    Guarded,
    /// By `release`.
    Unguarded,
}

impl HoldKind {
    /// Returns what a hold of this kind adds to the state.
    const fn weight(self) -> u32 {
        match self {
            Self::Guarded => GUARDED,
            Self::Unguarded => UNGUARDED,
        }
    }
}

/// Returns the number of guarded holds in a state.
const fn guarded(state: u32) -> u32 {
    state % UNGUARDED
}

/// Returns the number of unguarded holds in a state.
const fn unguarded(state: u32) -> u32 {
    state / UNGUARDED
}

/// How often a handle holds its lock, and by which kinds of hold.
#[derive(Debug)]
pub(crate) struct HoldCount {
    state: Cell<u32>,
}

impl HoldCount {
    pub(crate) const fn new() -> Self {
        Self { state: Cell::new(NONE) }
    }

    /// Returns `true` if there is no hold, and the handle is not in change.
    #[inline]
    pub(crate) fn is_none(&self) -> bool {
        self.state.get() == NONE
    }

    /// Returns `true` if there is a hold, and the handle is not in change.
    #[inline]
    pub(crate) fn is_some(&self) -> bool {
        !matches!(self.state.get(), NONE | IN_CHANGE)
    }

    /// Returns `true` if the handle is in change.
    #[inline]
    pub(crate) fn is_in_change(&self) -> bool {
        self.state.get() == IN_CHANGE
    }

    /// Returns `true` if there is exactly one hold, and it is of this kind.
    #[inline]
    pub(crate) fn is_single(&self, kind: HoldKind) -> bool {
        self.state.get() == kind.weight()
    }

    /// Notes that a change of the owner word begins.
    #[inline]
    pub(crate) fn begin_change(&self) {
        self.state.set(IN_CHANGE);
    }

    /// Notes that a change of the owner word has ended, with one hold or none.
    #[inline]
    pub(crate) fn end_change(&self, hold: Option<HoldKind>) {
        self.state.set(hold.map_or(NONE, HoldKind::weight));
    }

    /// Adds a hold of a lock that is held. Returns `false`, and adds none, if there are as many as
    /// can be counted. The handle is not in change.
    pub(crate) fn nest(&self, kind: HoldKind) -> bool {
        let state = self.state.get();
        let room = guarded(state) + unguarded(state) < DEEPEST;
        if room {
            self.state.set(state + kind.weight());
        }
        room
    }

    /// Removes a hold of a lock that is held more than once.
    ///
    /// # Errors
    /// [`Error::InUse`], [`Error::NotHeld`]; [`Error::GuardsAlive`] for an unguarded hold if all
    /// holds are guarded.
    pub(crate) fn unnest(&self, kind: HoldKind) -> Result<(), Error> {
        match (self.state.get(), kind) {
            (IN_CHANGE, _) => Err(Error::InUse),
            (NONE, _) => Err(Error::NotHeld),
            (state, HoldKind::Unguarded) if unguarded(state) == 0 => {
                Err(Error::GuardsAlive { guards: guarded(state) })
            }
            (state, _) => {
                self.state.set(state - kind.weight());
                Ok(())
            }
        }
    }

    /// Merges all holds into one unguarded hold, if none is guarded. Returns `true` if there is one
    /// then.
    pub(crate) fn merge_unguarded(&self) -> bool {
        let unguarded = self.is_some() && guarded(self.state.get()) == 0;
        if unguarded {
            self.state.set(HoldKind::Unguarded.weight());
        }
        unguarded
    }
}
