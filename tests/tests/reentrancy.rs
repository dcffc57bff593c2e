//! Checks nesting: one handle acquires the lock several times, in every form, and releases it as
//! often.

use std::time::{Duration, Instant};

use shmlock::{Error, Guard, ShmLock};
use shmlock_tests::{Actor, Fixture, actor, quietly};

const SOON: Duration = Duration::from_millis(1);

/// A handle of this process, and another process that tries the same lock.
struct Pair {
    lock: ShmLock,
    other: Actor,
    // Dropped last: the drop checks that no file is left.
    _fixture: Fixture,
}

impl Pair {
    fn new() -> Self {
        let fixture = Fixture::new();
        let name = fixture.name("l");
        let lock = quietly(|| ShmLock::open(&name)).unwrap();
        Self { lock, other: actor!("{name}"), _fixture: fixture }
    }

    /// Returns `true` if the lock is held, as another process sees it.
    fn appears_held(&mut self) -> bool {
        let got = self.other.ask("try l") == "true";
        if got {
            self.other.ask("release l");
        }
        !got
    }
}

/// Every way to acquire the lock with a guard.
const GUARDED: [fn(&ShmLock) -> Guard<'_>; 4] = [
    |lock| lock.lock().unwrap(),
    |lock| lock.try_lock().unwrap().unwrap(),
    |lock| lock.try_lock_for(SOON).unwrap(),
    |lock| lock.try_lock_until(Instant::now()).unwrap(),
];

/// Every way to acquire it without a guard.
const UNGUARDED: [fn(&ShmLock); 4] = [
    |lock| lock.acquire().unwrap(),
    |lock| assert!(lock.try_acquire().unwrap()),
    |lock| lock.try_acquire_for(Duration::ZERO).unwrap(),
    |lock| lock.try_acquire_until(Instant::now() + SOON).unwrap(),
];

#[test]
fn guards_of_every_form_nest_and_the_last_one_releases() {
    let mut pair = Pair::new();
    for outer in GUARDED {
        for inner in GUARDED {
            let Pair { lock, other, .. } = &mut pair;
            let first = outer(lock);
            let token = first.fencing_token();
            let second = inner(lock);
            assert_eq!(second.fencing_token(), token, "nesting counted as an acquisition");
            drop(first); // in either order
            assert!(lock.is_held());
            assert_eq!(other.ask("try l"), "false");
            drop(second);
            assert!(!lock.is_held());
            assert!(!pair.appears_held());
        }
    }
}

#[test]
fn unguarded_holds_of_every_form_nest_and_the_last_release_releases() {
    let mut pair = Pair::new();
    for outer in UNGUARDED {
        for inner in UNGUARDED {
            outer(&pair.lock);
            inner(&pair.lock);
            pair.lock.release().unwrap();
            assert!(pair.lock.is_held());
            assert!(pair.appears_held());
            pair.lock.release().unwrap();
            assert!(!pair.lock.is_held());
            assert!(!pair.appears_held());
            assert!(matches!(pair.lock.release(), Err(Error::NotHeld { .. })));
        }
    }
}

#[test]
fn guards_and_unguarded_holds_mix_in_any_order() {
    let mut pair = Pair::new();
    for guarded in GUARDED {
        for unguarded in UNGUARDED {
            // The unguarded hold survives the guard inside it.
            unguarded(&pair.lock);
            drop(guarded(&pair.lock));
            assert!(pair.lock.is_held() && pair.appears_held());
            pair.lock.release().unwrap();
            assert!(!pair.appears_held());

            // The guard survives the unguarded hold.
            let Pair { lock, other, .. } = &mut pair;
            let guard = guarded(lock);
            unguarded(lock);
            lock.release().unwrap();
            assert_eq!(other.ask("try l"), "false");
            guard.release().unwrap();
            assert!(!lock.is_held());
            assert!(!pair.appears_held());

            // The guard ends before the unguarded hold.
            let Pair { lock, other, .. } = &mut pair;
            let guard = guarded(lock);
            unguarded(lock);
            drop(guard);
            assert_eq!(other.ask("try l"), "false");
            lock.release().unwrap();
            assert!(!pair.appears_held());
        }
    }
}

#[test]
fn releasing_by_hand_a_lock_that_only_guards_hold_is_an_error_and_changes_nothing() {
    let mut pair = Pair::new();
    let Pair { lock, other, .. } = &mut pair;
    let first = lock.lock().unwrap();
    let second = lock.lock().unwrap();
    assert!(matches!(lock.release(), Err(Error::GuardsAlive { guards: 2, .. })));
    lock.acquire().unwrap();
    lock.release().unwrap();
    assert!(matches!(lock.release(), Err(Error::GuardsAlive { guards: 2, .. })));
    drop(first);
    assert!(matches!(lock.release(), Err(Error::GuardsAlive { guards: 1, .. })));
    assert_eq!(other.ask("try l"), "false");
    drop(second);
    assert!(!pair.appears_held());
}

#[test]
fn a_forced_release_ends_every_hold_and_leaves_the_guards_inert() {
    let mut pair = Pair::new();
    let Pair { lock, other, .. } = &mut pair;
    let first = lock.lock().unwrap();
    let second = lock.lock().unwrap();
    lock.acquire().unwrap();
    assert!(lock.force_release().unwrap());
    assert!(!lock.is_held());
    assert_eq!(other.ask("try l"), "true");

    drop(first);
    assert_eq!(other.ask("held l"), "true", "an inert guard released another's hold");
    assert!(matches!(second.release(), Err(Error::NotHeld { .. })));
    assert!(matches!(lock.release(), Err(Error::NotHeld { .. })));
    assert!(!lock.force_release().unwrap());
    other.ask("release l");
    assert!(!pair.appears_held());
}

#[test]
fn an_inert_guard_does_not_touch_a_later_hold() {
    let mut pair = Pair::new();
    let Pair { lock, other, .. } = &mut pair;
    let inert = lock.lock().unwrap();
    let another = lock.lock().unwrap();
    assert!(lock.force_release().unwrap());
    let later = lock.lock().unwrap();
    drop(inert);
    assert!(lock.is_held());
    assert!(matches!(another.release(), Err(Error::NotHeld { .. })));
    assert_eq!(other.ask("try l"), "false");
    drop(later);
    assert!(!pair.appears_held());
}

#[test]
fn a_handle_can_be_nested_a_thousand_times() {
    let mut pair = Pair::new();
    for _ in 0..1_000 {
        pair.lock.acquire().unwrap();
    }
    for _ in 0..999 {
        pair.lock.release().unwrap();
    }
    assert!(pair.appears_held());
    pair.lock.release().unwrap();
    assert!(!pair.appears_held());
}

#[test]
fn a_nested_hold_that_fails_leaves_the_outer_one_alone() {
    let mut pair = Pair::new();
    pair.other.ask("lock l");
    let Pair { lock, other, .. } = &mut pair;
    assert!(lock.try_lock_for(SOON).is_err());
    assert!(
        matches!(lock.release(), Err(Error::NotHeld { .. })),
        "a failed attempt counts as a hold"
    );
    other.ask("release l");
    let guard = lock.lock().unwrap();
    let second = quietly(|| lock.try_clone()).unwrap();
    assert!(second.try_lock().unwrap().is_none());
    assert!(second.try_lock_for(SOON).is_err());
    assert!(lock.is_held());
    assert_eq!(other.ask("try l"), "false");
    drop(guard);
    drop(second);
    assert!(!pair.appears_held());
}

#[test]
fn unwinding_out_of_a_nested_critical_section_releases_every_guard() {
    let mut pair = Pair::new();
    let lock = std::panic::AssertUnwindSafe(&pair.lock);
    let unwound = std::panic::catch_unwind(move || {
        let _outer = lock.lock().unwrap();
        let _inner = lock.lock().unwrap();
        std::panic::resume_unwind(Box::new("in the critical section"));
    });
    assert!(unwound.is_err());
    assert!(!pair.lock.is_held());
    assert!(!pair.appears_held());
    assert_eq!(pair.other.ask("recovered l"), "no");
}

#[test]
fn a_leaked_guard_holds_until_its_handle_is_dropped_and_then_counts_as_a_death() {
    let mut pair = Pair::new();
    std::mem::forget(pair.lock.lock().unwrap());
    assert!(pair.lock.is_held());
    assert!(pair.appears_held());
    let uuid = pair.lock.uuid();
    let Pair { _fixture, lock, mut other } = pair; // dropped from right to left
    other.tell("lock l");
    shmlock_tests::until(|| lock.status().unwrap().waiters);
    drop(lock);
    other.done();
    assert!(
        other.ask("recovered l").contains(&uuid.to_string()),
        "the recovery does not name the dead handle"
    );
    other.ask("consistent l");
}

#[test]
fn a_leaked_guard_can_be_released_by_force() {
    let mut pair = Pair::new();
    std::mem::forget(pair.lock.lock().unwrap());
    assert!(pair.lock.force_release().unwrap());
    assert!(!pair.appears_held());
    assert_eq!(pair.other.ask("recovered l"), "no");
}

#[test]
fn dropping_a_handle_releases_every_unguarded_hold() {
    let pair = Pair::new();
    for _ in 0..3 {
        pair.lock.acquire().unwrap();
    }
    let Pair { _fixture, lock, mut other } = pair; // dropped from right to left
    drop(lock);
    assert_eq!(other.ask("try l"), "true");
    assert_eq!(other.ask("recovered l"), "no");
}
