//! How often does this handle hold its lock, and what must a signal handler on the same thread know
//! of that?
//!
//! ```text
//!            take                    begin
//! none ------------> in transition ---------> plain, or 1 ---> 2 ---> …   the same handle again: only the count
//!   ^                     |                      |
//!   +---------------------+ <--------------------+ give back
//! ```
//!
//! A signal handler may run at any instruction and call into the handle that the interrupted code
//! is using. It sees *in transition* whenever the owner word and the count may disagree, and then
//! neither takes nor gives anything: otherwise it would find its own token in the word while the
//! count is 0, which is the mark of a corrupt word, and take the lock over from the very code it
//! interrupted.
//!
//! *Plain* is one hold about which there is nothing to say: no signals blocked for it, no death to
//! report, nothing logged. Taking and giving back such a one touches nothing but this state.
//!
//! All of it is one number, so that whoever interrupts a change sees the one or the other.

use std::cell::Cell;
use std::sync::atomic::{Ordering, compiler_fence};

/// The number: how many holds, how many of them are guards', and whether the hold is plain. 0 is
/// none.
const HOLD: u32 = 1;
const HOLDS: u32 = 0xffff;
const GUARD: u32 = 1 << 16;
const GUARDS: u32 = 0x7fff;
const PLAIN: u32 = 1 << 31;
const NONE: u32 = 0;
const IN_TRANSITION: u32 = u32::MAX;
/// The most holds of one handle, and so the most guards. Whoever nests this deep does not know that
/// it does.
const DEEPEST: u32 = GUARDS;

/// A plain hold: by a guard, or by `acquire`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HoldKind {
    Guarded,
    Unguarded,
}

/// What the end of one hold comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Others are left.
    Nested,
    /// It was the last. The transition has begun: the owner word is to be moved.
    Outermost,
}

/// What a caller finds who wants to take the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reentry {
    /// Nothing is held: take it.
    None,
    /// It was held, and is so once more now.
    Nested,
    /// This is a signal handler that interrupted the taking or giving back.
    InTransition,
    /// The count is at its end.
    NestingTooDeep,
}

/// How often a handle holds its lock.
#[derive(Debug)]
pub(crate) struct Holds {
    state: Cell<u32>,
    /// Counts the holds ended by force: a guard from before has nothing to give back.
    epoch: Cell<u32>,
}

impl HoldKind {
    const fn state(self) -> u32 {
        match self {
            Self::Guarded => PLAIN | GUARD | HOLD,
            Self::Unguarded => PLAIN | HOLD,
        }
    }
}

impl Holds {
    pub(crate) fn new() -> Self {
        Self { state: Cell::new(NONE), epoch: Cell::new(0) }
    }

    #[inline]
    pub(crate) fn is_none(&self) -> bool {
        self.state.get() == NONE
    }

    #[inline]
    pub(crate) fn is_held(&self) -> bool {
        !matches!(self.state.get(), NONE | IN_TRANSITION)
    }

    #[inline]
    pub(crate) fn is_plain(&self, kind: HoldKind) -> bool {
        self.state.get() == kind.state()
    }

    #[inline]
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.get()
    }

    /// Runs `act`, which moves the owner word, with the state saying so to signal handlers.
    /// Afterwards there is what `held` makes of the result: a plain hold, or none.
    #[allow(
        clippy::inline_always,
        reason = "its closures are the fast path; a call would pass them through memory"
    )]
    #[inline(always)]
    pub(crate) fn in_transition<R>(
        &self,
        act: impl FnOnce() -> R,
        held: impl FnOnce(&R) -> Option<HoldKind>,
    ) -> R {
        self.begin_transition();
        let result = act();
        self.end_transition(held(&result));
        result
    }

    /// The owner word is about to be moved.
    #[inline]
    pub(crate) fn begin_transition(&self) {
        self.state.set(IN_TRANSITION);
        compiler_fence(Ordering::SeqCst); // a handler on this thread sees the state change before the word does
    }

    /// The owner word has been moved, or not: there is a plain hold now, or none.
    #[inline]
    pub(crate) fn end_transition(&self, held: Option<HoldKind>) {
        compiler_fence(Ordering::SeqCst); // and after the word
        self.state.set(held.map_or(NONE, HoldKind::state));
    }

    /// There is something to say about the hold: it is plain no more.
    pub(crate) fn be_counted(&self) {
        if self.is_held() {
            self.state.set(self.state.get() & !PLAIN);
        }
    }

    /// Enters once more, if the lock is held.
    pub(crate) fn nest(&self, kind: HoldKind) -> Reentry {
        match self.state.get() {
            NONE => Reentry::None,
            IN_TRANSITION => Reentry::InTransition,
            state if state & HOLDS == DEEPEST => Reentry::NestingTooDeep,
            state => {
                let guard = if kind == HoldKind::Guarded { GUARD } else { 0 };
                // At once: a handler never sees the one without the other.
                self.state.set((state & !PLAIN) + HOLD + guard);
                Reentry::Nested
            }
        }
    }

    pub(crate) fn guards(&self) -> u32 {
        if self.is_held() { self.state.get() >> GUARD.trailing_zeros() & GUARDS } else { 0 }
    }

    /// How many guards hold the lock, if nobody else does.
    pub(crate) fn only_guards(&self) -> Option<u32> {
        let guards = self.guards();
        (self.state.get() & HOLDS == guards).then_some(guards)
    }

    /// Ends one hold of this kind, of which there is at least one. The outermost begins the
    /// transition, which [`end_transition`](Self::end_transition) ends.
    pub(crate) fn end_one(&self, kind: HoldKind) -> Ended {
        let state = self.state.get();
        if state & HOLDS == HOLD {
            self.begin_transition();
            return Ended::Outermost;
        }
        let guard = if kind == HoldKind::Guarded { GUARD } else { 0 };
        self.state.set((state & !PLAIN) - HOLD - guard);
        Ended::Nested
    }

    /// Begins the transition that ends all holds at once; guards that still exist have nothing to
    /// release.
    pub(crate) fn end_all(&self) {
        self.next_epoch();
        self.begin_transition();
    }

    /// Ends all holds without a transition: the owner word does not name this handle. Guards that
    /// still exist have nothing to release.
    pub(crate) fn void(&self) {
        self.next_epoch();
        self.state.set(NONE);
    }

    fn next_epoch(&self) {
        self.epoch.set(self.epoch.get().wrapping_add(1));
        // A handler that finds the holds ended finds no guard to be of their epoch.
        compiler_fence(Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::{DEEPEST, Ended, HoldKind, Holds, Reentry};

    fn taken(kind: HoldKind) -> Holds {
        let holds = Holds::new();
        holds.in_transition(|| (), |()| Some(kind));
        holds
    }

    #[test]
    fn a_plain_hold_is_plain_until_somebody_nests_in_it() {
        let holds = taken(HoldKind::Guarded);
        assert!(
            holds.is_plain(HoldKind::Guarded)
                && !holds.is_plain(HoldKind::Unguarded)
                && holds.is_held()
        );
        assert_eq!((holds.nest(HoldKind::Guarded), holds.guards()), (Reentry::Nested, 2));
        assert_eq!(holds.end_one(HoldKind::Guarded), Ended::Nested);
        assert!(!holds.is_plain(HoldKind::Guarded), "once nested, it is counted");
        assert_eq!((holds.guards(), holds.end_one(HoldKind::Guarded)), (1, Ended::Outermost));
        assert_eq!(holds.nest(HoldKind::Guarded), Reentry::InTransition);
    }

    #[test]
    fn whoever_interrupts_a_transition_neither_nests_nor_holds() {
        let holds = Holds::new();
        let seen = holds.in_transition(
            || (holds.nest(HoldKind::Unguarded), holds.is_held(), holds.guards()),
            |_| None,
        );
        assert_eq!(seen, (Reentry::InTransition, false, 0));
        assert!(holds.is_none());
    }

    #[test]
    fn the_depth_has_an_end_and_the_guards_are_counted_to_it() {
        let holds = taken(HoldKind::Guarded);
        for depth in 1..DEEPEST {
            assert_eq!(holds.guards(), depth);
            assert_eq!(holds.nest(HoldKind::Guarded), Reentry::Nested);
        }
        assert_eq!(
            (holds.nest(HoldKind::Guarded), holds.only_guards()),
            (Reentry::NestingTooDeep, Some(DEEPEST))
        );
        let epoch = holds.epoch();
        holds.void();
        assert!(holds.is_none() && holds.guards() == 0 && holds.epoch() != epoch);
    }

    #[test]
    fn a_hold_without_a_guard_is_told_from_those_with_one() {
        let holds = taken(HoldKind::Unguarded);
        assert_eq!((holds.guards(), holds.only_guards()), (0, None));
        assert_eq!(holds.nest(HoldKind::Guarded), Reentry::Nested);
        assert_eq!((holds.guards(), holds.only_guards()), (1, None));
        assert_eq!(
            (holds.end_one(HoldKind::Unguarded), holds.only_guards()),
            (Ended::Nested, Some(1))
        );
    }
}
