//! Tests foreign code that panics inside a call of a `RegionLock`: the call leaves the same state
//! as a call that did not acquire the lock.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};

use common::foreign::{OTHER, PLACES, Place, call_through, handle, has_run, record, run_at};
use common::{DIED, RawMemory, WAITERS, WaitBy, is_refused, number, probing, take, token_part};
use shmlock_core::contend::Liveness;
use shmlock_core::wait::{Spin, Wait, WaitAction, WaitContext};
use shmlock_core::{Error, RegionLock, Token};

fn lock(memory: &RawMemory, token: u16) -> RegionLock<'_> {
    RegionLock::new(memory.region(), number(token))
}

/// Runs an action that panics with [`OURS`], and catches the panic.
fn panics<R>(act: impl FnOnce() -> R) {
    let payload = catch_unwind(AssertUnwindSafe(act)).err().expect("it panics");
    assert_eq!(payload.downcast_ref::<&str>(), Some(&OURS));
}

/// Panics without the hook, which would print.
fn panic() {
    std::panic::resume_unwind(Box::new(OURS));
}

const OURS: &str = "foreign code has panicked";

#[test]
fn a_panic_leaves_neither_a_hold_nor_a_handle_in_use_wherever_it_comes_from() {
    static MEMORY: RawMemory = RawMemory::zeroed();
    for place in PLACES {
        let lock = handle(&MEMORY);
        run_at(place, panic);
        panics(|| call_through(place, &lock, &MEMORY));
        assert!(has_run());
        let left = match place {
            // It may have used up a wake that was meant for another waiter.
            Place::Waiting | Place::Probing => OTHER | WAITERS,
            Place::Recovered => DIED,
            Place::Acquired | Place::Recording | Place::Releasing => 0,
        };
        assert_eq!(MEMORY.get(0), left, "{place:?}");
        assert_eq!(lock.owes_wake(), place == Place::Recovered, "{place:?}");
        assert_eq!((lock.is_held(), lock.fencing_token()), (false, None), "{place:?}");
        assert_eq!(lock.release(), Err(Error::NotHeld), "{place:?}");
        assert_eq!(lock.declare_consistent(), Err(Error::NotHeld), "{place:?}");
    }
}

#[test]
fn a_handle_acquires_the_lock_after_a_panic_and_its_record_is_whole() {
    static MEMORY: RawMemory = RawMemory::zeroed();
    for place in PLACES {
        let lock = handle(&MEMORY);
        run_at(place, panic);
        panics(|| call_through(place, &lock, &MEMORY));
        if token_part(MEMORY.get(0)) == OTHER {
            MEMORY.set(0, 0);
        }
        let guard = take(&lock);
        assert_eq!(guard.owner_died(), place == Place::Recovered, "{place:?}");
        let holder = lock.holder().expect("held");
        assert_eq!((holder.token, holder.record), (lock.token(), Some(record())), "{place:?}");
        let rival = RegionLock::new(MEMORY.region(), number(3));
        assert!(is_refused(&rival), "{place:?}");
        assert_eq!(guard.release(), Ok(()));
        assert_eq!(token_part(MEMORY.get(0)), 0, "{place:?}");
    }
}

#[test]
fn a_waiter_that_panics_when_it_has_been_woken_owes_the_wake_to_the_others() {
    let memory = RawMemory::zeroed();
    let (holder, waiter) = (lock(&memory, 1), lock(&memory, 2));
    holder.acquire(&mut Spin::attempts(0)).expect("free");
    panics(|| {
        let _ = waiter.acquire(&mut WaitBy(|context: &mut WaitContext<'_>| {
            context.set_waiters().expect("held, and no other waiter");
            holder.release().expect("held"); // and wakes the waiter
            panic();
            WaitAction::Retry
        }));
    });
    assert_eq!((memory.get(0), waiter.owes_wake()), (0, true));
}

#[test]
fn a_waiter_that_panics_when_the_lock_has_changed_hands_leaves_waiters_set() {
    let memory = RawMemory::zeroed();
    let (holder, waiter, third) = (lock(&memory, 1), lock(&memory, 2), lock(&memory, 3));
    holder.acquire(&mut Spin::attempts(0)).expect("free");
    panics(|| {
        let _ = waiter.acquire(&mut WaitBy(|context: &mut WaitContext<'_>| {
            context.set_waiters().expect("held, and no other waiter");
            holder.release().expect("held");
            third.acquire(&mut Spin::attempts(0)).expect("free");
            panic();
            WaitAction::Retry
        }));
    });
    assert_eq!((memory.get(0), waiter.owes_wake()), (3 | WAITERS, false));
}

/// A wait that panics, and uses the handle in its drop.
struct Panics<'l, 'a> {
    lock: &'l RegionLock<'a>,
    seen: u32,
}

impl Wait for Panics<'_, '_> {
    fn wait(&mut self, _: &mut WaitContext<'_>) -> WaitAction {
        panic();
        WaitAction::Retry
    }
}

impl Drop for Panics<'_, '_> {
    fn drop(&mut self) {
        assert!(is_refused(self.lock));
        assert_eq!(self.lock.word().bits(), self.seen);
    }
}

#[test]
fn what_unwinds_out_of_the_call_finds_the_handle_at_rest() {
    let memory = RawMemory::zeroed();
    memory.set(0, OTHER);
    let lock = lock(&memory, 1);
    panics(|| drop(lock.lock(&mut Panics { lock: &lock, seen: OTHER | WAITERS })));
    assert!(!lock.is_held());
}

/// A proof that panics, before or after it takes over.
struct PanickingProof {
    first: bool,
}

impl Liveness for PanickingProof {
    fn while_dead<R>(&mut self, _owner: Token, act: impl FnOnce() -> R) -> Option<R> {
        if self.first {
            panic();
        }
        let _ = act();
        panic();
        None
    }
}

#[test]
fn a_panic_after_taking_over_from_the_handles_former_life_or_another_keeps_the_news_of_the_death() {
    static MEMORY: RawMemory = RawMemory::zeroed();
    for (first, left) in [(true, OTHER | WAITERS), (false, DIED)] {
        let memory = RawMemory::zeroed();
        memory.set(0, OTHER);
        let lock = lock(&memory, 1);
        panics(|| lock.acquire_or_recover(&mut probing(1), &mut PanickingProof { first }));
        assert_eq!((memory.get(0), lock.is_held(), lock.owes_wake()), (left, false, !first));
    }
    let restarted = handle(&MEMORY);
    MEMORY.set(0, restarted.token().get());
    run_at(Place::Acquired, panic);
    panics(|| restarted.acquire(&mut Spin::attempts(0)));
    assert_eq!((MEMORY.get(0), restarted.is_held()), (DIED, false));
}

#[cfg(feature = "embedded-hal")]
#[test]
fn a_timer_that_panics_leaves_a_handle_that_can_wait_again() {
    struct Broken;
    impl embedded_hal::delay::DelayNs for Broken {
        fn delay_ns(&mut self, _: u32) {
            panic();
        }
    }
    let memory = RawMemory::zeroed();
    memory.set(0, OTHER);
    let lock = lock(&memory, 1);
    panics(|| lock.acquire(&mut shmlock_core::wait::Delay::new(Broken, 1, 9)));
    assert!(matches!(lock.acquire(&mut Spin::attempts(9)), Err(Error::Busy { .. })));
}
