//! Tests foreign code that runs inside a call of a `RegionLock`, and calls the same handle, lies,
//! or does not return.

mod common;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::thread;

use common::foreign::{Lock, ME, OTHER, PLACES, call_through, handle, has_run, record, run_at};
use common::{
    DIED, ProofBy, RawMemory, WAITERS, WaitBy, is_refused, number, probing, take, token, token_part,
};
use shmlock_core::contend::{AssumeAlive, Liveness};
use shmlock_core::wait::{Spin, Wait, WaitAction, WaitContext};
use shmlock_core::{Error, RegionLock, Token, Word};

fn lock(memory: &RawMemory, token: u16) -> RegionLock<'_> {
    RegionLock::new(memory.region(), number(token))
}

/// A call of a handle that is in the middle of another call, with its assertions.
type Call = (&'static str, fn(&Lock));

/// Every call that a shared reference to the handle allows. Setting a record and dropping the
/// handle need ownership.
const CALLS: [Call; 13] = [
    ("try_lock", |lock| assert_eq!(lock.try_lock().err(), Some(Error::InUse))),
    ("try_acquire", |lock| assert_eq!(lock.try_acquire(), Err(Error::InUse))),
    ("lock", |lock| assert_eq!(lock.lock(&mut Spin::attempts(9)).err(), Some(Error::InUse))),
    ("lock_or_recover", |lock| {
        let answer = lock.lock_or_recover(&mut probing(9), &mut ProofBy(|_| true));
        assert_eq!(answer.err(), Some(Error::InUse));
    }),
    ("acquire", |lock| assert_eq!(lock.acquire(&mut Spin::attempts(9)), Err(Error::InUse))),
    ("acquire_or_recover", |lock| {
        assert_eq!(
            lock.acquire_or_recover(&mut probing(9), &mut ProofBy(|_| true)),
            Err(Error::InUse)
        );
    }),
    ("release", |lock| assert_eq!(lock.release(), Err(Error::InUse))),
    ("declare_consistent", |lock| assert_eq!(lock.declare_consistent(), Err(Error::InUse))),
    ("is_held", |lock| assert!(!lock.is_held())),
    ("owner_died", |lock| assert!(!lock.owner_died())),
    ("fencing_token", |lock| assert_eq!(lock.fencing_token(), None)),
    ("owes_wake", |lock| assert!(!lock.owes_wake())),
    ("holder, word, token", |lock| {
        assert_eq!(lock.holder().map(|holder| holder.token), lock.word().owner());
        assert_eq!(lock.token(), token(ME));
    }),
];

#[test]
fn a_call_from_within_a_call_of_the_same_handle_is_refused_and_changes_nothing() {
    static MEMORY: RawMemory = RawMemory::zeroed();
    for place in PLACES {
        let undisturbed = handle(&MEMORY);
        let expected =
            (call_through(place, &undisturbed, &MEMORY), undisturbed.is_held(), MEMORY.bytes());
        for (name, call) in CALLS {
            let lock = Rc::new(handle(&MEMORY));
            let inner = Rc::clone(&lock);
            run_at(place, move || {
                let before = MEMORY.bytes();
                call(&inner);
                assert_eq!(MEMORY.bytes(), before, "{name} while {place:?}");
            });
            let answer = call_through(place, &lock, &MEMORY);
            assert!(has_run(), "{name} while {place:?}");
            assert_eq!(
                (answer, lock.is_held(), MEMORY.bytes()),
                expected,
                "{name} while {place:?}"
            );
        }
    }
}

#[test]
fn a_handle_is_as_usable_after_a_refused_call_as_before() {
    static MEMORY: RawMemory = RawMemory::zeroed();
    for place in PLACES {
        let lock = Rc::new(handle(&MEMORY));
        let inner = Rc::clone(&lock);
        run_at(place, move || assert_eq!(inner.try_lock().err(), Some(Error::InUse)));
        if call_through(place, &lock, &MEMORY).is_err() {
            MEMORY.set(0, 0); // the other owner releases
        }
        let guard = take(&lock);
        assert_eq!(lock.holder().expect("held").record, Some(record()));
        assert_eq!(guard.release(), Ok(()));
        let held = if place.leaves_it_held() { Ok(()) } else { Err(Error::NotHeld) };
        assert_eq!((lock.release(), token_part(MEMORY.get(0))), (held, 0), "{place:?}");
    }
}

#[test]
fn a_wait_that_lets_another_task_use_the_handle_makes_no_second_holder() {
    let memory = RawMemory::zeroed();
    let (shared, other) = (lock(&memory, 1), lock(&memory, 2));
    let owner = RefCell::new(Some(take(&other)));
    let outer = shared.lock(&mut WaitBy(|_: &mut WaitContext<'_>| {
        drop(owner.borrow_mut().take());
        // The lock is free, and another task of this core tries the same handle.
        assert_eq!(shared.try_lock().err(), Some(Error::InUse));
        WaitAction::Retry
    }));
    let guard = outer.expect("free");
    assert_eq!((memory.get(0), guard.owner_died(), memory.region().recoveries()), (ME, false, 0));
    assert_eq!(guard.release(), Ok(()));
    assert_eq!((memory.get(0), shared.release()), (0, Err(Error::NotHeld)));
}

#[test]
fn a_proof_of_death_that_uses_the_handle_makes_no_second_holder() {
    let memory = RawMemory::zeroed();
    let shared = lock(&memory, 1);
    memory.set(0, OTHER);
    let mut proof = ProofBy(|_| {
        memory.set(0, 0); // the owner has released before it died
        assert_eq!(shared.try_lock().err(), Some(Error::InUse));
        true
    });
    let guard = shared.lock_or_recover(&mut probing(1), &mut proof).expect("free");
    assert_eq!((memory.get(0), guard.owner_died(), memory.region().recoveries()), (ME, false, 0));
    assert_eq!(guard.release(), Ok(()));
    assert_eq!((memory.get(0), shared.release()), (0, Err(Error::NotHeld)));
}

/// Words that a `Wait` may store by its own access, against the rules of the region.
const LIES: [u32; 7] = [0, WAITERS, DIED, ME, ME | DIED, OTHER, u32::MAX];

#[test]
fn a_wait_that_writes_to_the_word_leaves_a_handle_that_says_what_the_word_says() {
    for lie in LIES {
        for action in [WaitAction::Retry, WaitAction::Probe, WaitAction::GiveUp] {
            let memory = RawMemory::zeroed();
            let lock = lock(&memory, 1);
            memory.set(0, OTHER);
            let mut turns = 0;
            let answer = lock.acquire(&mut WaitBy(|_: &mut WaitContext<'_>| {
                turns += 1;
                memory.set(0, lie);
                if turns > 3 { WaitAction::GiveUp } else { action }
            }));
            let ours = token_part(memory.get(0)) == ME;
            assert_eq!(lock.is_held(), answer.is_ok(), "{lie:#x} {action:?}");
            assert!(answer.is_err() || ours, "{lie:#x} {action:?}");
            assert_eq!(lock.release(), answer.map_err(|_| Error::NotHeld), "{lie:#x} {action:?}");
        }
    }
}

/// Runs `act` and denies it.
struct Denies;

impl Liveness for Denies {
    fn while_dead<R>(&mut self, _owner: Token, act: impl FnOnce() -> R) -> Option<R> {
        act();
        None
    }
}

/// Forgets `act` and reports that it ran.
struct Forgets;

impl Liveness for Forgets {
    fn while_dead<R>(&mut self, _owner: Token, act: impl FnOnce() -> R) -> Option<R> {
        std::mem::forget(act);
        None
    }
}

#[test]
fn the_word_shows_a_take_over_that_the_proof_denies() {
    let memory = RawMemory::zeroed();
    let lock = lock(&memory, 1);
    memory.set(0, OTHER);
    let guard = lock.lock_or_recover(&mut probing(1), &mut Denies).expect("the word names us");
    assert_eq!((memory.get(0), guard.owner_died()), (ME | WAITERS | DIED, true));
    drop(guard);
    assert_eq!((memory.get(0), lock.is_held()), (DIED, false));
}

#[test]
fn a_proof_that_is_not_used_robs_no_owner() {
    let memory = RawMemory::zeroed();
    memory.set(0, OTHER);
    let answer = lock(&memory, 1).acquire_or_recover(&mut probing(3), &mut Forgets);
    assert_eq!((answer, memory.get(0)), (Err(Error::Busy { seen: Word::from_bits(OTHER) }), OTHER));
}

/// Blocks inside a call until the test ends it.
struct Stuck<W>(W);

impl<W: FnMut()> Wait for Stuck<W> {
    fn wait(&mut self, _: &mut WaitContext<'_>) -> WaitAction {
        (self.0)();
        WaitAction::GiveUp
    }
}

impl<W: FnMut()> Liveness for Stuck<W> {
    fn while_dead<R>(&mut self, _owner: Token, act: impl FnOnce() -> R) -> Option<R> {
        let result = act();
        (self.0)();
        Some(result)
    }
}

/// Runs `meanwhile` while a contender is stuck inside a call.
fn while_stuck(memory: &RawMemory, in_the_proof: bool, meanwhile: impl FnOnce()) {
    let ((stuck, is_stuck), (go_on, may_go_on)) = (channel(), channel::<()>());
    thread::scope(|scope| {
        scope.spawn(move || {
            let lock = lock(memory, 1);
            let mut until_told = Stuck(move || {
                stuck.send(()).expect("the test listens");
                may_go_on.recv().expect("the test tells");
            });
            let _ = if in_the_proof {
                lock.acquire_or_recover(&mut probing(1), &mut until_told)
            } else {
                lock.acquire_or_recover(&mut until_told, &mut AssumeAlive)
            };
        });
        is_stuck.recv().expect("it gets there");
        meanwhile();
        go_on.send(()).expect("it listens");
    });
}

#[test]
fn a_wait_that_does_not_return_keeps_no_other_handle_from_the_lock() {
    let memory = RawMemory::zeroed();
    let owner = lock(&memory, 2);
    owner.acquire(&mut Spin::attempts(0)).expect("free");
    while_stuck(&memory, false, || {
        owner.release().expect("held");
        let third = lock(&memory, 3);
        take(&third).release().expect("held");
    });
}

#[test]
fn a_proof_that_does_not_return_after_taking_over_keeps_the_lock() {
    let memory = RawMemory::zeroed();
    memory.set(0, OTHER);
    while_stuck(&memory, true, || {
        assert!(is_refused(&lock(&memory, 3)));
        assert_eq!(memory.get(0), ME | WAITERS | DIED);
    });
    assert_eq!(memory.get(0), DIED, "its handle releases when it is dropped");
}

/// A wait that tries the same handle in its own drop.
struct LocksInDrop<'l, 'a>(&'l RegionLock<'a>, u32);

impl Wait for LocksInDrop<'_, '_> {
    fn wait(&mut self, _: &mut WaitContext<'_>) -> WaitAction {
        WaitAction::GiveUp
    }
}

impl Drop for LocksInDrop<'_, '_> {
    fn drop(&mut self) {
        assert_eq!(is_refused(self.0), self.1 != ME);
    }
}

#[test]
fn a_way_of_waiting_may_use_the_handle_in_its_drop_for_the_call_is_over_by_then() {
    let memory = RawMemory::zeroed();
    let lock = lock(&memory, 1);
    assert_eq!(lock.acquire(&mut LocksInDrop(&lock, ME)), Ok(()));
    assert_eq!((lock.release(), memory.get(0)), (Ok(()), 0));
    memory.set(0, OTHER);
    assert_eq!(
        lock.acquire(&mut LocksInDrop(&lock, OTHER)),
        Err(Error::Busy { seen: Word::from_bits(OTHER) })
    );
}

#[test]
fn holds_nest_to_their_limit_and_all_of_them_can_be_released() {
    const DEEPEST: u32 = 65_534;
    let memory = RawMemory::zeroed();
    let lock = lock(&memory, 1);
    let guards: Vec<_> = (0..DEEPEST / 2).map(|_| take(&lock)).collect();
    for _ in 0..DEEPEST / 2 {
        lock.acquire(&mut Spin::attempts(0)).expect("not too deep");
    }
    assert_eq!(lock.try_lock().err(), Some(Error::NestingTooDeep));
    assert_eq!(lock.acquire(&mut Spin::attempts(0)), Err(Error::NestingTooDeep));
    for _ in 0..DEEPEST / 2 {
        assert_eq!(lock.release(), Ok(()));
    }
    assert_eq!(lock.release(), Err(Error::GuardsAlive { guards: DEEPEST / 2 }));
    drop(guards);
    assert_eq!((lock.release(), memory.get(0)), (Err(Error::NotHeld), 0));
}

#[test]
fn forgotten_guards_up_to_the_limit_hold_the_lock_and_never_look_like_a_call_under_way() {
    let memory = RawMemory::zeroed();
    let lock = lock(&memory, 1);
    for _ in 0..65_534 {
        std::mem::forget(take(&lock));
    }
    assert_eq!(lock.try_lock().err(), Some(Error::NestingTooDeep));
    assert_eq!(lock.release(), Err(Error::GuardsAlive { guards: 65_534 }));
    assert!(lock.is_held());
}
