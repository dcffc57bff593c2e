//! Checks reuse of thread pointers: the C library gives the control block of an ended thread to a
//! new one, which inherits nothing from it. A handle whose fast path was open for the ended thread
//! notes the new one.

#![allow(unsafe_code, reason = "pthread_self and raise")]

use std::thread;
use std::time::Duration;

use shmlock::{Error, ExitHandlers, ShmLock};
use shmlock_tests::hostile::{Solo, fork};
use shmlock_tests::{alone, skipped};

const HERE: &str = "a lock of this process";

/// How often a thread is started until one gets the pointer of the last. glibc reuses it at once.
const ATTEMPTS: usize = 100;

/// Returns what glibc and musl return as the thread pointer, or a number that stands for it.
fn thread_pointer() -> libc::pthread_t {
    // SAFETY: always succeeds.
    unsafe { libc::pthread_self() }
}

/// Runs `first` in a thread, and after its end `second` in one with the same thread pointer, if
/// there is one. `second` gets what `first` returns.
fn in_successor<T: Send, R: Send>(
    first: impl Fn() -> T + Sync,
    second: impl Fn(T) -> R + Sync,
) -> Option<R> {
    (0..ATTEMPTS).find_map(|_| {
        let (made, pointer) = thread::scope(|scope| {
            scope.spawn(|| (first(), thread_pointer())).join().expect("no panic")
        });
        thread::scope(|scope| {
            scope
                .spawn(|| (thread_pointer() == pointer).then(|| second(made)))
                .join()
                .expect("no panic")
        })
    })
}

/// Opens the lock and uses it until its fast path is open for this thread.
fn open_and_use(name: &str) -> ShmLock {
    let lock = ShmLock::open(name).expect(HERE);
    for _ in 0..3 {
        drop(lock.lock().expect("free"));
    }
    lock
}

/// What `in_successor` found, or a skipped test.
fn or_skip<R>(found: Option<R>) -> Option<R> {
    if found.is_none() {
        skipped("no thread gets the pointer of an ended one here");
    }
    found
}

#[test]
fn a_hold_of_an_ended_thread_is_not_its_successors() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let waited = in_successor(
            || {
                let lock = open_and_use(&name);
                lock.acquire().expect("free");
                lock
            },
            |held| {
                let other = ShmLock::open(&name).expect(HERE);
                let waited = other.try_lock_for(Duration::from_millis(1)).map(drop);
                held.release().expect("held");
                waited
            },
        );
        let Some(waited) = or_skip(waited) else { return };
        assert!(waited.as_ref().is_err_and(Error::is_timed_out), "{waited:?}");
    });
}

#[test]
fn a_handle_that_an_ended_thread_has_used_is_its_successors() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let refused = in_successor(
            || open_and_use(&name),
            |moved| {
                moved.acquire().expect("free"); // the first use of the library in this thread
                let other = ShmLock::open(&name).expect(HERE);
                let refused = other.try_lock_for(Duration::from_secs(1)).map(drop);
                moved.release().expect("held");
                refused
            },
        );
        let Some(refused) = or_skip(refused) else { return };
        assert!(matches!(refused, Err(Error::WouldDeadlock { .. })), "{refused:?}");
    });
}

#[test]
fn the_exit_handlers_release_what_a_successor_holds() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let child = fork(|line| {
            ExitHandlers::signals().install().expect("the default action");
            let found = in_successor(
                || open_and_use(&name),
                |moved| {
                    moved.acquire().expect("free");
                    line.say(1);
                    // SAFETY: sends this thread a signal, which ends the process.
                    unsafe { libc::raise(libc::SIGTERM) };
                },
            );
            assert!(found.is_none(), "the signal did not end the process");
            line.say(0);
        });
        let is_reused = child.line().hear() == 1;
        if !is_reused {
            or_skip(None::<()>);
            return child.ends_well();
        }
        child.ends_by(libc::SIGTERM);
        let lock = ShmLock::open(&name).expect(HERE);
        let guard = lock.lock().expect("free");
        let recovered = guard.recovered().expect("the critical section was cut short");
        assert!(recovered.dead.is_none(), "the kernel's proof freed it, not the handler");
        guard.declare_consistent().expect("held");
    });
}

#[test]
fn two_threads_that_use_a_handle_in_turn_are_each_noted() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let mut lock = open_and_use(&name);
        for _ in 0..3 {
            let use_and_return = move || {
                lock.acquire().expect("free");
                let other = ShmLock::open(lock.name()).expect(HERE);
                let refused = other.try_lock_for(Duration::from_secs(1)).map(drop);
                assert!(matches!(refused, Err(Error::WouldDeadlock { .. })), "{refused:?}");
                lock.release().expect("held");
                lock
            };
            lock = thread::spawn(use_and_return).join().expect("no panic");
            lock.acquire().expect("free");
            let other = ShmLock::open(&name).expect(HERE);
            let refused = other.try_lock_for(Duration::from_secs(1)).map(drop);
            assert!(matches!(refused, Err(Error::WouldDeadlock { .. })), "{refused:?}");
            lock.release().expect("held");
        }
    });
}
