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
//! No guard has outlived its hold while holds are plain: after a release by force that left guards
//! behind, each hold is counted. So the guard of a plain hold is current.
//!
//! All of it is one number, so that a signal handler sees one state or the next, and nothing
//! between them. The number for *none* is the address of the region, so that one comparison with
//! the anchor (`process/anchor.rs`) finds the state and the process right.
//!
//! | state | number |
//! |---|---|
//! | none | the address of the region, a multiple of 4 and not 0 |
//! | plain | 1 for the hold of a guard, 2 for another |
//! | counted | 3 in the two low bits; above them 15 bits for holds, 15 for the guards of these |
//! | in transition | all bits set |

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::sync::atomic::{Ordering, compiler_fence};

const PLAIN_GUARDED: NonZeroUsize = NonZeroUsize::new(1).unwrap();
const PLAIN_UNGUARDED: NonZeroUsize = NonZeroUsize::new(2).unwrap();
const COUNTED: usize = 3;
/// The bits that tell none, plain and counted.
const FORM: usize = 3;
const HOLD: usize = 1 << 2;
const HOLDS: usize = DEEPEST_FIELD * HOLD;
const GUARD: usize = 1 << 17;
const GUARDS: usize = DEEPEST_FIELD * GUARD;
const DEEPEST_FIELD: usize = 0x7fff;
const IN_TRANSITION: NonZeroUsize = NonZeroUsize::MAX;

/// The most holds of one handle, and so the most guards. One more would look like a transition.
const DEEPEST: usize = DEEPEST_FIELD - 1;

/// The epoch of guards until one outlives its hold.
pub(crate) const FIRST_EPOCH: u32 = 0;

/// How a hold ends: by the drop of its guard, or by `release`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HoldKind {
    Guarded,
    Unguarded,
}

/// The state after a transition.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AfterTransition {
    NotHeld,
    /// One plain hold, or one hold that is counted if guards have outlived theirs.
    Plain(HoldKind),
    /// One hold with bookkeeping.
    Counted(HoldKind),
}

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
    state: Cell<NonZeroUsize>,
    /// The address of the region: the state of none.
    none: NonZeroUsize,
    /// Counts the holds that were ended by force.
    epoch: Cell<u32>,
    /// Counts those of them that left guards behind: a guard of an earlier epoch releases nothing.
    guard_epoch: Cell<u32>,
}

impl HoldKind {
    /// What this hold adds to the count.
    const fn weight(self) -> usize {
        match self {
            Self::Guarded => GUARD | HOLD,
            Self::Unguarded => HOLD,
        }
    }

    /// The state of a plain hold.
    const fn plain(self) -> NonZeroUsize {
        match self {
            Self::Guarded => PLAIN_GUARDED,
            Self::Unguarded => PLAIN_UNGUARDED,
        }
    }
}

impl Holds {
    /// Returns the holds of a handle on the region at this address, a multiple of 4.
    pub(crate) fn new(region: NonZeroUsize) -> Self {
        debug_assert!(region.get() & FORM == 0, "not the address of a region");
        Self {
            state: Cell::new(region),
            none: region,
            epoch: Cell::new(0),
            guard_epoch: Cell::new(0),
        }
    }

    #[inline]
    pub(crate) fn is_none(&self) -> bool {
        self.state.get() == self.none
    }

    #[inline]
    pub(crate) fn is_held(&self) -> bool {
        !matches!(self.state.get(), state if state == self.none || state == IN_TRANSITION)
    }

    /// Returns the state: the address of the region if nothing is held, and another number if not.
    #[inline]
    pub(crate) fn state(&self) -> &Cell<NonZeroUsize> {
        &self.state
    }

    #[inline]
    pub(crate) fn is_plain(&self, kind: HoldKind) -> bool {
        self.state.get() == kind.plain()
    }

    /// Returns how many holds were ended by force.
    #[inline]
    pub(crate) fn epoch(&self) -> u32 {
        self.epoch.get()
    }

    /// Returns the epoch of a guard that is made now. It is [`FIRST_EPOCH`] during a plain hold.
    #[inline]
    pub(crate) fn guard_epoch(&self) -> u32 {
        self.guard_epoch.get()
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
        let state = match after {
            AfterTransition::NotHeld => self.none,
            AfterTransition::Plain(kind) if self.may_be_plain() => kind.plain(),
            AfterTransition::Plain(kind) | AfterTransition::Counted(kind) => counted(kind.weight()),
        };
        self.end_transition_as(state);
    }

    /// Ends a transition of the fast path, with a plain hold or with none. `region` is the address
    /// of the region.
    #[inline]
    pub(crate) fn end_fast_transition(&self, region: NonZeroUsize, after: Option<HoldKind>) {
        debug_assert!(region == self.none, "not this region");
        self.end_transition_as(after.map_or(region, HoldKind::plain));
    }

    #[inline]
    fn end_transition_as(&self, state: NonZeroUsize) {
        // Partner: as above; it sees the word moved before it sees this state.
        compiler_fence(Ordering::SeqCst);
        self.state.set(state);
    }

    /// Returns `true` if no guard has outlived its hold.
    pub(crate) fn may_be_plain(&self) -> bool {
        self.guard_epoch.get() == FIRST_EPOCH
    }

    /// Returns the holds and the guards, as the state of a counted hold has them; 0 for none.
    fn count(&self) -> usize {
        match self.state.get() {
            IN_TRANSITION => 0,
            PLAIN_GUARDED => HoldKind::Guarded.weight(),
            PLAIN_UNGUARDED => HoldKind::Unguarded.weight(),
            state if state.get() & FORM == COUNTED => state.get() & (HOLDS | GUARDS),
            _ => 0,
        }
    }

    /// Counts one hold more, if the handle holds the lock.
    pub(crate) fn nest(&self, kind: HoldKind) -> Reentry {
        match self.state.get() {
            state if state == self.none => Reentry::None,
            IN_TRANSITION => Reentry::InTransition,
            _ => self.nest_in(self.count(), kind),
        }
    }

    #[cold]
    fn nest_in(&self, count: usize, kind: HoldKind) -> Reentry {
        if count & HOLDS == DEEPEST * HOLD {
            return Reentry::NestingTooDeep;
        }
        self.state.set(counted(count + kind.weight()));
        Reentry::Nested
    }

    #[expect(clippy::cast_possible_truncation, reason = "15 bits")]
    pub(crate) fn guards(&self) -> u32 {
        ((self.count() & GUARDS) / GUARD) as u32
    }

    /// Returns the number of guards, if every hold is a guard's.
    pub(crate) fn only_guards(&self) -> Option<u32> {
        let count = self.count();
        ((count & HOLDS) / HOLD == (count & GUARDS) / GUARD).then(|| self.guards())
    }

    /// Ends one hold of this kind, of which there is at least one. The outermost begins the
    /// transition, which [`end_transition`](Self::end_transition) ends.
    pub(crate) fn end_one(&self, kind: HoldKind) -> Ended {
        let count = self.count();
        if count & HOLDS == HOLD {
            self.begin_transition();
            return Ended::Outermost;
        }
        self.state.set(counted(count - kind.weight()));
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
        self.state.set(self.none);
    }

    fn next_epoch(&self) {
        self.epoch.set(self.epoch.get().wrapping_add(1));
        if self.guards() > 0 {
            self.guard_epoch.set(self.guard_epoch.get().wrapping_add(1).max(FIRST_EPOCH + 1));
        }
        // Partner: a signal handler that sees the holds ended; it sees the epoch counted, too.
        compiler_fence(Ordering::SeqCst);
    }
}

/// Returns the state of counted holds.
const fn counted(count: usize) -> NonZeroUsize {
    match NonZeroUsize::new(count | COUNTED) {
        Some(state) => state,
        None => IN_TRANSITION, // never: two bits are set
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::{AfterTransition, DEEPEST, Ended, HoldKind, Holds, Reentry};

    /// Stands for the address of a region.
    const REGION: NonZeroUsize = NonZeroUsize::new(0x7000).unwrap();

    fn is_none(holds: &Holds) -> bool {
        holds.is_none() && holds.state().get() == REGION
    }

    fn held(kind: HoldKind) -> Holds {
        let holds = Holds::new(REGION);
        holds.begin_transition();
        holds.end_transition(AfterTransition::Plain(kind));
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
        let holds = Holds::new(REGION);
        holds.begin_transition();
        holds.end_transition(AfterTransition::Counted(HoldKind::Guarded));
        assert!(holds.is_held() && !holds.is_plain(HoldKind::Guarded));
        assert_eq!((holds.guards(), holds.end_one(HoldKind::Guarded)), (1, Ended::Outermost));
    }

    #[test]
    fn a_handler_that_interrupts_a_transition_neither_nests_nor_holds() {
        let holds = Holds::new(REGION);
        holds.begin_transition();
        let seen = (holds.nest(HoldKind::Unguarded), holds.is_held(), holds.guards());
        assert_eq!(seen, (Reentry::InTransition, false, 0));
        holds.end_transition(AfterTransition::NotHeld);
        assert!(holds.is_none());
    }

    #[test]
    fn the_depth_has_an_end_and_the_guards_are_counted_to_it() {
        let holds = held(HoldKind::Guarded);
        for depth in 1..DEEPEST {
            assert_eq!(holds.guards() as usize, depth);
            assert_eq!(holds.nest(HoldKind::Guarded), Reentry::Nested);
        }
        assert_eq!(holds.nest(HoldKind::Guarded), Reentry::NestingTooDeep);
        assert_eq!(holds.only_guards(), u32::try_from(DEEPEST).ok());
        let epoch = holds.guard_epoch();
        holds.void();
        assert!(holds.is_none() && holds.guards() == 0 && holds.guard_epoch() != epoch);
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

    #[test]
    fn a_hold_is_plain_until_a_guard_has_outlived_its_hold() {
        let holds = held(HoldKind::Unguarded);
        holds.end_all();
        holds.end_transition(AfterTransition::Plain(HoldKind::Guarded));
        assert!(holds.is_plain(HoldKind::Guarded) && holds.epoch() == 1, "no guard was left");
        holds.end_all();
        holds.end_transition(AfterTransition::Plain(HoldKind::Guarded));
        assert!(!holds.is_plain(HoldKind::Guarded) && holds.is_held());
        assert!(holds.guards() == 1 && !holds.may_be_plain());
    }

    #[test]
    fn no_state_is_taken_for_another() {
        let holds = held(HoldKind::Guarded);
        assert!(!is_none(&holds));
        for _ in 0..2 {
            assert_eq!(holds.nest(HoldKind::Unguarded), Reentry::Nested);
            assert!(!is_none(&holds) && !holds.is_plain(HoldKind::Unguarded));
        }
        holds.begin_transition();
        assert!(!is_none(&holds) && !holds.is_plain(HoldKind::Guarded));
        holds.end_transition(AfterTransition::NotHeld);
        assert!(is_none(&holds) && !holds.is_plain(HoldKind::Unguarded));
    }
}
