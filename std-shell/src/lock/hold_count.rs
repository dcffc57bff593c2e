//! Counts the holds of one handle, and says when count and owner word may disagree.
//!
//! ```text
//!      begin_transition           end_transition
//! none ----------------> in transition --------> plain, or 1 ---> 2 ---> …  nested: the count
//!   ^                      |    ^                   |
//!   +----------------------+    +-------------------+ the outermost release
//!       end_transition             begin_transition
//! ```
//!
//! A signal handler may run at any instruction and call into the handle that the interrupted code
//! uses. It sees *in transition* whenever the owner word and the count may disagree, and then
//! neither acquires nor releases. Otherwise it would find its own token in the word while the count
//! is 0. That is the sign of a corrupt word, and it would recover the lock from the very code that
//! it interrupts.
//!
//! A handler ends the holds that it begins (`ShmLock`, "In a signal handler"). The hold of one that
//! returns with it, between the check and the begin of a transition, is not counted: the next
//! acquire finds it, and recovers the lock from it.
//!
//! A *plain* hold is a single hold without bookkeeping: no signals are blocked for it, there is no
//! death to report, and nothing was logged. Its release is the owner word and this state, no more.
//!
//! All of it is one number, so that a signal handler sees one state or the next, and nothing
//! between them.

use std::cell::Cell;
use std::sync::atomic::{Ordering, compiler_fence};

/// The low half counts the holds.
const HOLD: u32 = 1;
const HOLDS: u32 = 0xffff;
/// The high half, but for its top bit, counts those of them that are guards'.
const GUARD: u32 = 1 << 16;
const GUARDS: u32 = 0x7fff;
const PLAIN: u32 = 1 << 31;
const NONE: u32 = 0;
const IN_TRANSITION: u32 = u32::MAX;

/// The most holds of one handle, and so the most guards.
const DEEPEST: u32 = GUARDS;

/// How a hold ends: by the drop of its guard, or by `release`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HoldKind {
    Guarded,
    Unguarded,
}

/// The state after a transition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AfterTransition(u32);

/// What the end of one hold comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Other holds are left.
    Nested,
    /// It was the last. The transition has begun: the owner word is to be moved.
    Outermost,
}

/// What an acquire finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reentry {
    /// Nothing is held: the owner word is to be moved.
    None,
    /// The handle held the lock, and the hold has been counted.
    Nested,
    /// The caller is a signal handler that interrupts an acquire or a release.
    InTransition,
    /// The count is at its end.
    NestingTooDeep,
}

/// Counts the holds of a handle.
#[derive(Debug)]
pub(crate) struct Holds {
    state: Cell<u32>,
    /// Counts the holds that were ended by force: a guard of an earlier epoch releases nothing.
    epoch: Cell<u32>,
}

impl HoldKind {
    /// What this hold adds to the count.
    const fn weight(self) -> u32 {
        match self {
            Self::Guarded => GUARD | HOLD,
            Self::Unguarded => HOLD,
        }
    }
}

impl AfterTransition {
    pub(crate) const NOT_HELD: Self = Self(NONE);

    /// One plain hold.
    pub(crate) const fn plain(kind: HoldKind) -> Self {
        Self(PLAIN | kind.weight())
    }

    /// One hold with bookkeeping.
    pub(crate) const fn counted(kind: HoldKind) -> Self {
        Self(kind.weight())
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
        self.state.get() == AfterTransition::plain(kind).0
    }

    #[inline]
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.get()
    }

    /// Says that the owner word is about to be moved.
    #[inline]
    pub(crate) fn begin_transition(&self) {
        self.state.set(IN_TRANSITION);
        // Partner: a signal handler on this thread, which sees this state before it sees the word
        // move.
        compiler_fence(Ordering::SeqCst);
    }

    /// Says that the owner word has been moved, or not.
    #[inline]
    pub(crate) fn end_transition(&self, after: AfterTransition) {
        // Partner: as above; it sees the word moved before it sees this state.
        compiler_fence(Ordering::SeqCst);
        self.state.set(after.0);
    }

    /// Counts one hold more, if the handle holds the lock.
    pub(crate) fn nest(&self, kind: HoldKind) -> Reentry {
        match self.state.get() {
            NONE => Reentry::None,
            IN_TRANSITION => Reentry::InTransition,
            state if state & HOLDS == DEEPEST => Reentry::NestingTooDeep,
            state => {
                self.state.set((state & !PLAIN) + kind.weight());
                Reentry::Nested
            }
        }
    }

    pub(crate) fn guards(&self) -> u32 {
        if self.is_held() { self.state.get() >> GUARD.trailing_zeros() & GUARDS } else { 0 }
    }

    /// Returns the number of guards, if every hold is a guard's.
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
        self.state.set((state & !PLAIN) - kind.weight());
        Ended::Nested
    }

    /// Begins the transition that ends all holds at once. Guards that still exist release nothing.
    pub(crate) fn end_all(&self) {
        self.next_epoch();
        self.begin_transition();
    }

    /// Ends all holds without a transition: the owner word does not name this handle. Guards that
    /// still exist release nothing.
    pub(crate) fn void(&self) {
        self.next_epoch();
        self.state.set(NONE);
    }

    fn next_epoch(&self) {
        self.epoch.set(self.epoch.get().wrapping_add(1));
        // Partner: a signal handler that sees the holds ended; it sees the epoch counted, too.
        compiler_fence(Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::{AfterTransition, DEEPEST, Ended, HoldKind, Holds, Reentry};

    fn held(kind: HoldKind) -> Holds {
        let holds = Holds::new();
        holds.begin_transition();
        holds.end_transition(AfterTransition::plain(kind));
        holds
    }

    #[test]
    fn a_plain_hold_is_plain_until_another_nests_in_it() {
        let holds = held(HoldKind::Guarded);
        assert!(holds.is_plain(HoldKind::Guarded));
        assert!(!holds.is_plain(HoldKind::Unguarded) && holds.is_held());
        assert_eq!((holds.nest(HoldKind::Guarded), holds.guards()), (Reentry::Nested, 2));
        assert_eq!(holds.end_one(HoldKind::Guarded), Ended::Nested);
        assert!(!holds.is_plain(HoldKind::Guarded), "once nested, it is counted");
        assert_eq!((holds.guards(), holds.end_one(HoldKind::Guarded)), (1, Ended::Outermost));
        assert_eq!(holds.nest(HoldKind::Guarded), Reentry::InTransition);
    }

    #[test]
    fn a_counted_hold_is_not_plain() {
        let holds = Holds::new();
        holds.begin_transition();
        holds.end_transition(AfterTransition::counted(HoldKind::Guarded));
        assert!(holds.is_held() && !holds.is_plain(HoldKind::Guarded));
        assert_eq!((holds.guards(), holds.end_one(HoldKind::Guarded)), (1, Ended::Outermost));
    }

    #[test]
    fn a_handler_that_interrupts_a_transition_neither_nests_nor_holds() {
        let holds = Holds::new();
        holds.begin_transition();
        let seen = (holds.nest(HoldKind::Unguarded), holds.is_held(), holds.guards());
        assert_eq!(seen, (Reentry::InTransition, false, 0));
        holds.end_transition(AfterTransition::NOT_HELD);
        assert!(holds.is_none());
    }

    #[test]
    fn the_depth_has_an_end_and_the_guards_are_counted_to_it() {
        let holds = held(HoldKind::Guarded);
        for depth in 1..DEEPEST {
            assert_eq!(holds.guards(), depth);
            assert_eq!(holds.nest(HoldKind::Guarded), Reentry::Nested);
        }
        assert_eq!(holds.nest(HoldKind::Guarded), Reentry::NestingTooDeep);
        assert_eq!(holds.only_guards(), Some(DEEPEST));
        let epoch = holds.epoch();
        holds.void();
        assert!(holds.is_none() && holds.guards() == 0 && holds.epoch() != epoch);
    }

    #[test]
    fn a_hold_without_a_guard_is_told_from_those_with_one() {
        let holds = held(HoldKind::Unguarded);
        assert_eq!((holds.guards(), holds.only_guards()), (0, None));
        assert_eq!(holds.nest(HoldKind::Guarded), Reentry::Nested);
        assert_eq!((holds.guards(), holds.only_guards()), (1, None));
        assert_eq!(holds.end_one(HoldKind::Unguarded), Ended::Nested);
        assert_eq!(holds.only_guards(), Some(1));
    }
}
