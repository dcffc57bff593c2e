//! Checks a logger that panics, uses the lock that it logs about, forks, exits or never returns.
//! See `docs/foreign-code.md`.

#![allow(unsafe_code, reason = "waitpid")]

use std::cell::RefCell;
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::rc::Rc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use log::{LevelFilter, Log, Metadata, Record};
use shmlock::{Error, ExitHandlers, LockState, ShmLock};
use shmlock_tests::hostile::{Folder, Intruder, Solo, end_process, fork};
use shmlock_tests::{actor, alone};

const HERE: &str = "a lock of this process";

/// A word of each message that the life of a lock logs.
const EVENTS: [&str; 9] = [
    "opened",
    "acquired",
    "released",
    "another holds it",
    "taken over",
    "nobody has declared",
    "overwritten",
    "leaked",
    "closing",
];

type Act = Rc<dyn Fn()>;

thread_local! {
    /// The event at which this thread's logger acts, and its act.
    static ACT: RefCell<Option<(&'static str, Act)>> = const { RefCell::new(None) };
}

/// The number of acts begun.
static ACTS: AtomicU32 = AtomicU32::new(0);

struct ActingLogger;

impl Log for ActingLogger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = record.args().to_string();
        let act = ACT.with_borrow(Clone::clone);
        if let Some((_, act)) = act.filter(|(event, _)| line.contains(event)) {
            ACTS.fetch_add(1, Relaxed);
            act();
        }
    }

    fn flush(&self) {}
}

fn begin() {
    log::set_logger(&ActingLogger).expect("the only logger");
    log::set_max_level(LevelFilter::Debug);
    std::panic::set_hook(Box::new(|panic| {
        if panic.payload().downcast_ref::<&str>() != Some(&"the logger") {
            eprintln!("{panic}");
        }
    }));
}

/// Makes the logger do `act` at each such event from now on.
fn at(event: &'static str, act: impl Fn() + 'static) {
    ACTS.store(0, Relaxed);
    ACT.set(Some((event, Rc::new(act))));
}

fn stop_acting() -> u32 {
    ACT.set(None);
    ACTS.load(Relaxed)
}

/// Takes a lock through all [`EVENTS`]. After each call the lock is free, or held by the caller
/// that acquired it.
fn life(folder: &Folder) {
    let open = || folder.lock("l").open().expect(HERE);
    let (lock, other) = (open(), open());
    let guard = lock.lock().expect("free");
    assert!(guard.lock().is_held() && other.try_lock().expect("a lock").is_none());
    drop(guard);
    assert_eq!(lock.status().expect(HERE).occupancy, LockState::Unlocked);
    lock.acquire().expect("free");
    assert!(lock.is_held() && !other.try_acquire().expect("a lock"));
    lock.release().expect("held");
    assert_eq!(lock.status().expect(HERE).occupancy, LockState::Unlocked);
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
            assert_eq!(lock.status().expect(HERE).occupancy, LockState::Unlocked);
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
        assert_eq!(lock.status().expect(HERE).occupancy, LockState::Unlocked, "{event}");
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
            assert_eq!(lock.status().expect(HERE).occupancy, LockState::Unlocked);
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
        assert_eq!(lock.status().expect(HERE).occupancy, LockState::Unlocked);
    });
}

/// Forks. The child continues after this call, like the parent, and ends by [`end_child`] or a
/// refusal; the parent waits for it here.
fn fork_here() {
    // SAFETY: the test framework's other threads are asleep.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        ACT.set(None);
        CHILD.store(1, Relaxed);
        return;
    }
    let mut status = 0;
    // SAFETY: a valid pointer, and a child of ours.
    let answer = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert!(answer == pid && status == 0, "a forked child ended by status {status:#x}");
}

static CHILD: AtomicU32 = AtomicU32::new(0);

/// Returns the value of a call. The child must get an error, and ends here.
fn refused_in_child<T: fmt::Debug>(result: Result<T, Error>) -> T {
    if CHILD.load(Relaxed) == 1 {
        let well = matches!(result, Err(Error::ForkedHandle { .. }));
        if !well {
            eprintln!("in a forked child: {result:?}");
        }
        end_process::at_once(i32::from(!well));
    }
    result.expect(HERE)
}

/// Ends the child after a call that returns no error to check.
fn end_child() {
    if CHILD.load(Relaxed) == 1 {
        end_process::at_once(0);
    }
}

#[test]
fn a_logger_that_forks_gives_the_child_no_lock_and_takes_none_from_the_parent() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let mut other = actor!("{name}");
        begin();
        at("opened", fork_here);
        let lock = ShmLock::open(&name).expect(HERE);
        if CHILD.load(Relaxed) == 1 {
            let _: Option<()> = refused_in_child(lock.try_lock().map(|_| None));
        }
        at("acquired", fork_here);
        for _ in 0..2 {
            let guard = refused_in_child(lock.lock());
            assert_eq!(other.ask("try l"), "false");
            stop_acting();
            at("released", fork_here);
            refused_in_child(guard.release().and_then(|()| lock.is_locked().map(drop)));
            stop_acting();
            assert_eq!(other.ask("try l"), "true");
            at("another holds it", fork_here);
            assert!(refused_in_child(lock.try_lock()).is_none());
            at("was not free", fork_here);
            let waited = lock.try_lock_for(Duration::from_millis(1));
            end_child();
            assert!(waited.is_err_and(|error| error.is_timed_out()));
            assert!(!refused_in_child(lock.try_acquire()));
            stop_acting();
            other.ask("release l");
            at("acquired", fork_here);
        }
        refused_in_child(lock.acquire());
        stop_acting();
        at("closing", fork_here);
        drop(lock);
        end_child();
        assert_ne!(stop_acting(), 0);
        assert_eq!(other.ask("try l"), "true");
        assert_eq!(other.ask("recovered l"), "no");
    });
}

#[test]
fn a_logger_that_calls_exit_at_an_acquisition_is_an_owner_that_exits() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let lock = ShmLock::open(&name).expect(HERE);
        for handlers in [false, true] {
            let child = fork(|_| {
                begin();
                if handlers {
                    ExitHandlers::all().install().expect("installed");
                }
                at("acquired", || process::exit(0));
                let _ = ShmLock::open(&name).expect(HERE).lock();
                end_process::at_once(1);
            });
            child.ends_well();
            let guard = lock.lock().expect("its owner is gone");
            let recovered = guard.recovered().expect("the critical section was cut short");
            assert_eq!(recovered.dead.is_none(), handlers);
            guard.declare_consistent().expect("held");
        }
        for event in ["released", "closing"] {
            let child = fork(|_| {
                begin();
                ExitHandlers::all().install().expect("installed");
                at(event, || process::exit(0));
                let lock = ShmLock::open(&name).expect(HERE);
                lock.acquire().expect("free");
                drop(lock);
                end_process::at_once(1);
            });
            child.ends_well();
            assert!(
                lock.lock().expect("free").recovered().is_none(),
                "{event}: the critical section was over"
            );
        }
    });
}

#[test]
fn a_logger_that_never_returns_blocks_no_lock_that_has_been_released_or_closed() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        for (event, is_held) in [("acquired", true), ("released", false), ("closing", false)] {
            let (ours, theirs) = UnixStream::pair().expect("two descriptors");
            let child = fork(|_| {
                begin();
                let theirs = theirs.try_clone().expect("a descriptor");
                at(event, move || {
                    (&theirs).write_all(&[0]).expect("the parent lives");
                    loop {
                        std::thread::park();
                    }
                });
                let lock = ShmLock::open(&name).expect(HERE);
                lock.acquire().expect("free");
                drop(lock);
            });
            (&ours).read_exact(&mut [0]).expect("the child lives");
            let lock = ShmLock::open(&name).expect(HERE);
            let guard = lock.try_lock().expect("a lock");
            assert_eq!(guard.is_none(), is_held, "{event}");
            drop(guard);
            child.kill();
            let guard = lock.lock().expect("free, or a dead owner's");
            assert_eq!(guard.recovered().is_some(), is_held, "{event}");
            if is_held {
                guard.declare_consistent().expect("held");
            }
        }
    });
}
