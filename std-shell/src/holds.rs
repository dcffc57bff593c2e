//! How often does this handle hold its lock, and what must a signal handler on the same thread know of that?
//!
//! ```text
//!            take                    begin
//! none ------------> in transition ---------> plain, or 1 ---> 2 ---> …   the same handle again: only the count
//!   ^                     |                      |
//!   +---------------------+ <--------------------+ give back
//! ```
//!
//! A signal handler may run at any instruction and call into the handle that the interrupted code is using. It sees *in
//! transition* whenever the owner word and the count may disagree, and then neither takes nor gives anything: otherwise
//! it would find its own token in the word while the count is 0, which is the mark of a corrupt word, and take the lock
//! over from the very code it interrupted.
//!
//! *Plain* is one hold about which there is nothing to say: no signals blocked for it, no death to report, nothing logged.
//! Taking and giving back such a one touches nothing but this state.
//!
//! All of it is one number, so that whoever interrupts a change sees the one or the other.

use std::cell::Cell;
use std::sync::atomic::{Ordering, compiler_fence};

/// The number: how many holds, how many of them are guards', and whether the hold is plain. 0 is none.
const HOLD: u32 = 1;
const HOLDS: u32 = 0xffff;
const GUARD: u32 = 1 << 16;
const GUARDS: u32 = 0x7fff;
const PLAIN: u32 = 1 << 31;
const NONE: u32 = 0;
const IN_TRANSITION: u32 = u32::MAX;
/// The most holds of one handle, and so the most guards. Whoever nests this deep does not know that it does.
const DEEPEST: u32 = GUARDS;

/// A plain hold: by a guard, or by `acquire`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plain {
    Guard,
    Bare,
}

/// What a caller finds who wants to take the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing is held: take it.
    None,
    /// It was held, and is so once more now.
    Nested,
    /// This is a signal handler that interrupted the taking or giving back.
    InTransition,
    /// The count is at its end.
    TooDeep,
}

/// How often a handle holds its lock.
#[derive(Debug)]
pub(crate) struct Holds {
    state: Cell<u32>,
    /// Counts the holds ended by force: a guard from before has nothing to give back.
    epoch: Cell<u32>,
}

impl Plain {
    const fn state(self) -> u32 {
        match self {
            Self::Guard => PLAIN | GUARD | HOLD,
            Self::Bare => PLAIN | HOLD,
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
    pub(crate) fn is_plain(&self, plain: Plain) -> bool {
        self.state.get() == plain.state()
    }

    #[inline]
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.get()
    }

    /// Runs `act`, which moves the owner word, with the state saying so to signal handlers. Afterwards there is what
    /// `held` makes of the result: a plain hold, or none.
    #[allow(clippy::inline_always, reason = "its closures are the fast path; a call would pass them through memory")]
    #[inline(always)]
    pub(crate) fn in_transition<R>(&self, act: impl FnOnce() -> R, held: impl FnOnce(&R) -> Option<Plain>) -> R {
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
    pub(crate) fn end_transition(&self, held: Option<Plain>) {
        compiler_fence(Ordering::SeqCst); // and after the word
        self.state.set(held.map_or(NONE, Plain::state));
    }

    /// There is something to say about the hold: it is plain no more.
    pub(crate) fn be_counted(&self) {
        if self.is_held() {
            self.state.set(self.state.get() & !PLAIN);
        }
    }

    /// Enters once more, if the lock is held.
    pub(crate) fn nest(&self) -> Found {
        match self.state.get() {
            NONE => Found::None,
            IN_TRANSITION => Found::InTransition,
            state if state & HOLDS == DEEPEST => Found::TooDeep,
            state => {
                self.state.set((state & !PLAIN) + HOLD);
                Found::Nested
            }
        }
    }

    /// The hold that was counted or begun last is a guard's.
    pub(crate) fn add_guard(&self) {
        self.state.set((self.state.get() & !PLAIN) + GUARD);
    }

    /// A guard of this epoch wants to give back. `false`: there is nothing of it.
    pub(crate) fn drop_guard(&self, epoch: u32) -> bool {
        let held = epoch == self.epoch.get() && self.is_held();
        if held {
            self.state.set((self.state.get() & !PLAIN) - GUARD);
        }
        held
    }

    pub(crate) fn guards(&self) -> u32 {
        if self.is_held() { self.state.get() >> GUARD.trailing_zeros() & GUARDS } else { 0 }
    }

    /// How many guards hold the lock, if nobody else does.
    pub(crate) fn only_guards(&self) -> Option<u32> {
        let guards = self.guards();
        (self.state.get() & HOLDS == guards).then_some(guards)
    }

    /// One less; `true` if it is the outermost that is to end now, which [`in_transition`](Self::in_transition) does.
    pub(crate) fn un_nest(&self) -> bool {
        let state = self.state.get();
        let outermost = state & HOLDS == HOLD;
        if !outermost {
            self.state.set(state - HOLD);
        }
        outermost
    }

    /// Makes all holds one that is no guard's; guards that still exist have nothing to give back.
    pub(crate) fn merge(&self) {
        self.epoch.set(self.epoch.get().wrapping_add(1));
        compiler_fence(Ordering::SeqCst); // a handler that finds the one hold finds no guard to be of its epoch
        self.state.set(HOLD);
    }
}

#[cfg(test)]
mod tests {
    use super::{DEEPEST, Found, Holds, Plain};

    fn taken(plain: Plain) -> Holds {
        let holds = Holds::new();
        holds.in_transition(|| (), |()| Some(plain));
        holds
    }

    #[test]
    fn a_plain_hold_is_plain_until_somebody_nests_in_it() {
        let holds = taken(Plain::Guard);
        assert!(holds.is_plain(Plain::Guard) && !holds.is_plain(Plain::Bare) && holds.is_held());
        assert_eq!((holds.nest(), holds.guards()), (Found::Nested, 1));
        assert!(!holds.un_nest() && !holds.is_plain(Plain::Guard), "whatever it was for, it has been looked at");
        assert!(holds.drop_guard(holds.epoch()) && holds.un_nest());
    }

    #[test]
    fn whoever_interrupts_a_transition_neither_nests_nor_holds() {
        let holds = Holds::new();
        let seen = holds.in_transition(|| (holds.nest(), holds.is_held(), holds.guards()), |_| None);
        assert_eq!(seen, (Found::InTransition, false, 0));
        assert!(holds.is_none());
    }

    #[test]
    fn the_depth_has_an_end_and_the_guards_are_counted_to_it() {
        let holds = taken(Plain::Guard);
        for depth in 1..DEEPEST {
            assert_eq!(holds.guards(), depth);
            assert_eq!(holds.nest(), Found::Nested);
            holds.add_guard();
        }
        assert_eq!((holds.nest(), holds.only_guards()), (Found::TooDeep, Some(DEEPEST)));
        holds.merge();
        assert_eq!((holds.guards(), holds.only_guards()), (0, None));
        assert!(holds.un_nest());
    }
}
