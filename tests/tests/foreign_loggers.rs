//! Checks a logger that panics, or uses the lock that it logs about. See `docs/foreign-code.md`.

#[path = "foreign_loggers/logger.rs"]
mod logger;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use shmlock::{Error, LockState, ShmLock};
use shmlock_tests::alone;
use shmlock_tests::hostile::{Folder, Intruder, Solo};

use logger::{at, begin, stop_acting};

const HERE: &str = "a lock of this process";

/// A word of each message that the life of a lock logs.
const EVENTS: [&str; 9] = [
    "opened",
    "acquired",
    "released",
    "another holds it",
    "recovered from",
    "has not been declared consistent",
    "overwritten",
    "leaked",
    "closing",
];

/// Takes a lock through all [`EVENTS`]. After each call the lock is free, or held by the caller
/// that acquired it.
fn life(folder: &Folder) {
    let open = || folder.lock("l").open().expect(HERE);
    let (lock, other) = (open(), open());
    let guard = lock.lock().expect("free");
    assert!(guard.lock().is_held() && other.try_lock().expect("a lock").is_none());
    drop(guard);
    assert_eq!(lock.status().expect(HERE).state, LockState::Unlocked);
    lock.acquire().expect("free");
    assert!(lock.is_held() && !other.try_acquire().expect("a lock"));
    lock.release().expect("held");
    assert_eq!(lock.status().expect(HERE).state, LockState::Unlocked);
    std::mem::forget(lock.lock().expect("free"));
    drop(lock); // the owner dies
    let guard = other.lock().expect("a dead owner's");
    assert!(guard.recovered().is_some_and(|recovered| recovered.dead.is_some()));
    guard.release().expect("held");
    let guard = other.lock().expect("free");
    guard.declare_consistent().expect("held");
    Intruder::on(&folder.file("l")).scribble(0, 0);
    assert!(matches!(guard.release(), Err(Error::Overwritten { .. })));
    drop(other);
}

#[test]
fn a_logger_that_panics_at_any_event_leaves_the_lock_held_by_its_caller_or_free() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        begin();
        for event in EVENTS {
            at(event, || panic!("the logger"));
            let lived = catch_unwind(AssertUnwindSafe(|| life(&folder)));
            assert!(lived.is_ok(), "{event}: a call of the lock panicked");
            assert_ne!(stop_acting(), 0, "{event}: never logged");
        }
    });
}

#[test]
fn a_logger_that_panics_while_a_panic_unwinds_does_not_end_the_process() {
    alone!(|| {
        let fixture = Solo::new();
        let lock = ShmLock::open(&fixture.name("l")).expect(HERE);
        begin();
        for event in ["released", "closing"] {
            at(event, || panic!("the logger"));
            let unwound = catch_unwind(AssertUnwindSafe(|| {
                let other = lock.try_clone().expect(HERE);
                let _guard = other.lock().expect("free");
                std::panic::resume_unwind(Box::new("a critical section"));
            }));
            assert!(unwound.is_err());
            assert_ne!(stop_acting(), 0, "{event}");
            assert_eq!(lock.status().expect(HERE).state, LockState::Unlocked);
        }
    });
}

/// Runs `play` with a handle for the logger and the event of each round, and asserts that the lock
/// ends free.
fn with_lock(play: impl Fn(&Rc<ShmLock>, &'static str)) {
    let fixture = Solo::new();
    begin();
    for event in ["acquired", "released", "another holds it"] {
        let lock = Rc::new(ShmLock::open(&fixture.name("l")).expect(HERE));
        play(&lock, event);
        let acts = stop_acting();
        assert_ne!(acts, 0, "{event}");
        assert_eq!(lock.status().expect(HERE).state, LockState::Unlocked, "{event}");
        drop(lock.lock().expect("free"));
    }
}

/// Acquires and releases the lock in every way, so that each event is logged.
fn use_of(lock: &ShmLock) {
    drop(lock.lock().expect("free"));
    lock.acquire().expect("free");
    assert!(lock.is_held());
    lock.release().expect("held");
    let other = lock.try_clone().expect(HERE);
    let guard = other.lock().expect("free");
    assert!(lock.try_lock().expect("a lock").is_none());
    assert!(other.is_held());
    drop(guard);
}

thread_local! {
    static INSIDE: RefCell<bool> = const { RefCell::new(false) };
}

/// Runs `act`, unless it is running already: the logger's own calls log too.
fn once(act: impl FnOnce()) {
    if !INSIDE.replace(true) {
        act();
        INSIDE.set(false);
    }
}

#[test]
fn a_logger_that_uses_the_logged_lock_and_others_disturbs_nothing() {
    alone!(|| {
        with_lock(|lock, event| {
            let own = Rc::clone(lock);
            at(event, move || {
                once(|| {
                    let held = own.is_held();
                    if let Ok(Some(guard)) = own.try_lock() {
                        assert!(guard.lock().is_held());
                    }
                    let _ = own.try_lock_for(Duration::ZERO).map(drop);
                    assert_eq!(own.is_held(), held);
                    let _ = (
                        own.holder(),
                        own.status(),
                        own.recovered(),
                        own.fencing_token(),
                        own.statistics(),
                    );
                    let other = ShmLock::open(&format!("{}-elsewhere", own.name())).expect(HERE);
                    drop(other.lock().expect("free"));
                    drop(own.try_clone().expect(HERE));
                });
            });
            use_of(lock);
        });
    });
}

#[test]
fn a_logger_that_releases_the_logged_lock_leaves_no_caller_that_believes_to_hold_it() {
    alone!(|| {
        let fixture = Solo::new();
        begin();
        let lock = Rc::new(ShmLock::open(&fixture.name("l")).expect(HERE));
        let not_held = |error: Error| matches!(error, Error::NotHeld { .. });

        let own = Rc::clone(&lock);
        at("acquired", move || {
            assert!(matches!(own.release(), Err(Error::GuardsAlive { guards: 1, .. })));
        });
        let guard = lock.lock().expect("free");
        assert_eq!(stop_acting(), 1);
        assert!(lock.is_held(), "the guard holds it");
        guard.release().expect("held");

        let own = Rc::clone(&lock);
        at("acquired", move || own.release().expect("held"));
        assert!(lock.acquire().is_err_and(not_held));
        assert_eq!(stop_acting(), 1);
        assert!(!lock.is_held());

        for again in [false, true] {
            let own = Rc::clone(&lock);
            at("acquired", move || {
                once(|| {
                    assert!(own.force_release().expect("held"));
                    if again {
                        own.acquire().expect("free");
                    }
                });
            });
            assert!(lock.lock().is_err_and(not_held));
            assert!(lock.try_lock().is_err_and(not_held) || again);
            stop_acting();
            let _ = lock.force_release();
            assert_eq!(lock.status().expect(HERE).state, LockState::Unlocked);
        }
    });
}

/// The wait is logged before the handle is in transition, so what the logger acquires there makes
/// the wait a nested acquisition.
#[test]
fn a_logger_that_acquires_the_awaited_lock_makes_the_wait_nest() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        begin();
        let lock = Rc::new(folder.lock("l").open().expect(HERE));
        let file = Rc::new(Intruder::on(&folder.file("l")));
        file.scribble(0, 1); // a static token, whose liveness is unknown
        let own = Rc::clone(&lock);
        at("waits for", move || {
            file.scribble(0, 0);
            own.acquire().expect("free");
        });
        let guard = lock.try_lock_for(Duration::from_secs(5)).expect("held by the logger");
        assert_eq!(stop_acting(), 1);
        assert!(guard.recovered().is_none(), "a death was reported");
        drop(guard);
        assert!(lock.is_held(), "the logger's hold is gone");
        lock.release().expect("held");
        assert_eq!(lock.status().expect(HERE).state, LockState::Unlocked);
    });
}
