//! Checks interrupt callbacks that panic, use locks, fork or exit. See `docs/foreign-code.md`.

#![allow(unsafe_code, reason = "fork and waitpid, and a handle that its own callback uses")]

use std::ops::ControlFlow;
use std::process;
use std::ptr::null_mut;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32};
use std::time::Duration;

use shmlock::{Builder, Error, ExitHandlers, ShmLock, WaitPoint};
use shmlock_tests::hostile::{Folder, Solo, end_process, fork};
use shmlock_tests::{Capability, alone, can, until};

const HERE: &str = "a lock of this process";
const NEVER: Duration = Duration::from_secs(3600);

/// Lets a forked child wait for a held lock by a handle with these settings, and runs `wait` in it.
/// Releases the lock while `wait` runs, if `release` says so, after the child has said a number.
fn waits(options: impl FnOnce(Builder) -> Builder, wait: impl FnOnce(&ShmLock), is_released: bool) {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let holder = folder.lock("l").open().expect(HERE);
    let guard = holder.lock().expect("free");
    let waiter = fork(|_| {
        let lock = options(folder.lock("l").poll_interval(NEVER)).open().expect(HERE);
        wait(&lock);
    });
    if is_released {
        until(|| holder.status().expect(HERE).waiters);
        guard.release().expect("held");
        waiter.ends_well();
    } else {
        waiter.ends_well();
        assert!(holder.is_held());
        guard.release().expect("held: the waiter took nothing");
    }
}

/// Silences the panics of callbacks.
fn be_quiet() {
    std::panic::set_hook(Box::new(|panic| {
        if panic.payload().downcast_ref::<&str>() != Some(&"a callback") {
            eprintln!("{panic}");
        }
    }));
}

#[test]
fn a_callback_that_panics_ends_its_wait_and_the_handle_can_be_used_again() {
    static ASKED: AtomicU32 = AtomicU32::new(0);
    alone!(|| {
        waits(
            |builder| {
                be_quiet();
                builder.interrupt(|_| {
                    assert!(ASKED.fetch_add(1, Relaxed) != 0, "a callback");
                    ControlFlow::Continue(())
                })
            },
            |lock| {
                let waited = lock.lock();
                assert!(waited.is_err_and(|error| error.is_interrupted()));
                assert!(lock.try_lock().expect("at rest").is_none(), "the lock is held");
                let waited = lock.try_lock_for(Duration::from_millis(1));
                assert!(waited.is_err_and(|error| error.is_timed_out()), "the next goes on");
            },
            false,
        );
    });
}

static LOCK: AtomicPtr<ShmLock> = AtomicPtr::new(null_mut());

#[test]
fn a_callback_may_use_other_locks_and_is_refused_by_the_handle_that_waits() {
    static OTHER: AtomicU32 = AtomicU32::new(0);
    alone!(|| {
        waits(
            |builder| {
                builder.interrupt(|_| {
                    // SAFETY: stored below by this thread, and valid until its call returns.
                    let lock = unsafe { &*LOCK.load(Relaxed) };
                    assert!(lock.try_lock().expect("refused").is_none());
                    assert!(matches!(lock.lock(), Err(Error::WouldDeadlock { .. })));
                    assert!(matches!(lock.release(), Err(Error::NotHeld { .. })));
                    assert!(!lock.is_held() && lock.is_locked().expect(HERE));
                    let directory = lock.path().parent().expect("a directory");
                    let other = ShmLock::builder("other").directory(directory).open();
                    drop(other.expect(HERE).lock().expect("free"));
                    OTHER.fetch_add(1, Relaxed);
                    ControlFlow::Break(())
                })
            },
            |lock| {
                LOCK.store(std::ptr::from_ref(lock).cast_mut(), Relaxed);
                let waited = lock.acquire();
                assert!(waited.is_err_and(|error| error.is_interrupted()));
                assert_eq!(OTHER.load(Relaxed), 1, "it panicked");
            },
            false,
        );
    });
}

/// The child that a callback forked; 0 in that child, and -1 before.
static FORKED: AtomicI32 = AtomicI32::new(-1);

/// Returns the result of a call. In the child that the callback forked, ends the process: with
/// status 0 if the call was refused.
fn refused_in_child<T>(result: Result<T, Error>) -> Result<T, Error> {
    let pid = FORKED.load(Relaxed);
    if pid == 0 {
        let is_well = matches!(result, Err(Error::ForkedHandle { .. }));
        end_process::at_once(i32::from(!is_well));
    }
    let mut status = 0;
    // SAFETY: a valid pointer, and a child of ours.
    let answer = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert!(answer == pid && status == 0, "the forked child ended by status {status:#x}");
    result
}

/// Makes a callback that forks at its first call. Both processes give this answer.
fn forks(answer: ControlFlow<()>) -> impl Fn(WaitPoint) -> ControlFlow<()> + Send + Sync {
    move |_| {
        if FORKED.load(Relaxed) == -1 {
            // SAFETY: this process has one thread, which holds no mutex here.
            FORKED.store(unsafe { libc::fork() }, Relaxed);
        }
        answer
    }
}

#[test]
fn a_callback_that_forks_gives_the_child_no_lock_and_the_parent_its_answer() {
    if !can(Capability::KeepMemoryFromChildren) {
        return;
    }
    alone!(|| {
        let goes_on = ControlFlow::Continue(());
        waits(
            |builder| builder.interrupt(forks(goes_on)),
            |lock| drop(refused_in_child(lock.lock()).expect("released at last")),
            true,
        );
        waits(
            |builder| builder.interrupt(forks(ControlFlow::Break(()))),
            |lock| {
                let waited = refused_in_child(lock.lock());
                assert!(waited.is_err_and(|error| error.is_interrupted()));
            },
            false,
        );
    });
}

#[test]
fn a_callback_that_calls_exit_leaves_the_lock_to_its_owner() {
    alone!(|| {
        waits(
            |builder| {
                ExitHandlers::all().install().expect("installed");
                builder.interrupt(|_| process::exit(0))
            },
            |lock| panic!("the process goes on: {:?}", lock.lock()),
            false,
        );
    });
}
