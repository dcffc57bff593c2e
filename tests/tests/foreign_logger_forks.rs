//! Checks a logger that forks, exits or never returns. See `docs/foreign-code.md`.

#![allow(unsafe_code, reason = "fork and waitpid")]

#[path = "foreign_loggers/logger.rs"]
mod logger;

use std::fmt;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use shmlock::{Error, ExitHandlers, ShmLock};
use shmlock_tests::hostile::{Solo, end_process, fork};
use shmlock_tests::{actor, alone};

use logger::{at, begin, stop_acting};

const HERE: &str = "a lock of this process";

/// Forks. The child continues after this call, like the parent, and ends by [`end_child`] or a
/// refusal; the parent waits for it here.
fn fork_here() {
    // SAFETY: the test framework's other threads are asleep.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        stop_acting();
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
