//! Checks handles that are in use while their process forks.

#![allow(unsafe_code, reason = "calls functions for C")]

mod common;

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr::{from_ref, null, null_mut};
use std::sync::Barrier;
use std::thread;

use common::{User, c};
use shmlock_c::callback::WaitPoint;
use shmlock_c::handle::Lock;
use shmlock_c::hold::shmlock_is_held;
use shmlock_c::open::{shmlock_close, shmlock_open};
use shmlock_c::options::Options;
use shmlock_c::status::Status;
use shmlock_tests::alone;
use shmlock_tests::hostile::{Solo, fork};
use shmlock_tests::{Capability, can};

/// A handle that threads and processes share by its address.
#[derive(Clone, Copy)]
struct Address(*mut Lock);

// SAFETY: each use of it is by one thread at a time, or is refused.
unsafe impl Send for Address {}
// SAFETY: as above.
unsafe impl Sync for Address {}

impl Address {
    fn get(&self) -> *mut Lock {
        self.0
    }
}

fn lock(handle: *mut Lock) -> Status {
    // SAFETY: a handle.
    unsafe { shmlock_c::acquire::shmlock_lock(handle, null_mut()) }
}

fn close(handle: *mut Lock) -> Status {
    // SAFETY: a handle.
    unsafe { shmlock_close(handle, null_mut()) }
}

fn open(handle: *mut Lock, name: &str) -> Status {
    let name = c(name);
    // SAFETY: a handle, and a string.
    unsafe { shmlock_open(handle, name.as_ptr(), null(), null_mut()) }
}

/// In a child: the handle, which was in use during the fork, is refused. It is of use once it was
/// closed and opened anew.
fn is_refused_until_it_is_opened_anew(handle: *mut Lock, name: &str) {
    assert_eq!(lock(handle), Status::Forked);
    // SAFETY: a handle.
    assert!(!unsafe { shmlock_is_held(handle) });
    assert_eq!(open(handle, name), Status::AlreadyOpen);
    assert_eq!((close(handle), close(handle)), (Status::Forked, Status::NotOpen));
    assert_eq!(open(handle, name), Status::Ok);
    // SAFETY: a handle.
    let tried = unsafe { shmlock_c::acquire::shmlock_try(handle, null_mut()) };
    assert_eq!(tried, Status::Busy, "the parent holds the lock");
    assert_eq!(lock_for_a_moment(handle), Status::TimedOut);
}

fn lock_for_a_moment(handle: *mut Lock) -> Status {
    // SAFETY: a handle.
    unsafe { shmlock_c::acquire::shmlock_lock_for(handle, 1, null_mut()) }
}

/// Meets the thread that forks, before the fork and after it. Ends the wait.
unsafe extern "C" fn meet(context: *mut c_void, _: WaitPoint) -> c_int {
    // SAFETY: the context of the test, which waits for this call.
    let fork = unsafe { &*context.cast::<Barrier>() };
    fork.wait();
    fork.wait();
    1
}

#[test]
fn a_handle_in_use_by_a_thread_during_a_fork_is_the_parents_and_can_be_opened_anew() {
    alone!(|| {
        if !can(Capability::ForkDuringCalls) {
            return;
        }
        let fixture = Solo::new();
        let name = fixture.name("l");
        let holder = User::open(&name);
        assert_eq!(holder.lock(), Status::Ok);
        let forks = Barrier::new(2);
        let options = Options {
            interrupt: Some(meet),
            interrupt_context: from_ref(&forks).cast_mut().cast(),
            ..Options::default()
        };
        let waiter = User::open_with(&name, &options);
        let handle = Address(waiter.at());
        thread::scope(|scope| {
            let waits = scope.spawn(move || lock(handle.get()));
            forks.wait(); // the thread waits: its handle is in use
            let child = fork(|_| {
                is_refused_until_it_is_opened_anew(handle.get(), &name);
                assert_eq!(close(handle.get()), Status::Ok);
            });
            child.ends_well();
            assert_eq!(close(handle.get()), Status::InUse, "the parent's call goes on");
            forks.wait();
            assert_eq!(waits.join().expect("no panic"), Status::Interrupted);
        });
        assert_eq!((waiter.try_once(), waiter.close()), (Status::Busy, Status::Ok));
    });
}

/// What the child of a callback does with the handle whose call is in progress.
#[derive(Clone, Copy, PartialEq)]
enum InChild {
    Nothing,
    Close,
    OpenAnew,
}

struct Forks<'t> {
    name: &'t str,
    handle: Cell<*mut Lock>,
    does: InChild,
    is_child: Cell<bool>,
}

/// Forks. Ends the parent's wait, and not the child's.
unsafe extern "C" fn fork_in_callback(context: *mut c_void, _: WaitPoint) -> c_int {
    // SAFETY: the context of the test, which waits for this call.
    let forks = unsafe { &*context.cast::<Forks<'_>>() };
    // SAFETY: the process has one thread that uses the library.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        forks.is_child.set(true);
        let handle = forks.handle.get();
        assert_eq!(lock(handle), Status::Forked);
        match forks.does {
            InChild::Nothing => {}
            InChild::Close => assert_eq!(close(handle), Status::Forked),
            InChild::OpenAnew => is_refused_until_it_is_opened_anew(handle, forks.name),
        }
        return 0;
    }
    let mut status = 0;
    // SAFETY: a child of this thread, and a valid pointer.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "the child of the callback failed");
    1
}

#[test]
fn the_child_of_a_callback_may_close_the_handle_of_the_call_and_open_it_anew() {
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let holder = User::open(&name);
        assert_eq!(holder.lock(), Status::Ok);
        for does in [InChild::Nothing, InChild::Close, InChild::OpenAnew] {
            fork(|_| {
                let (handle, is_child) = (Cell::new(null_mut()), Cell::new(false));
                let forks = Forks { name: &name, handle, does, is_child };
                let options = Options {
                    interrupt: Some(fork_in_callback),
                    interrupt_context: from_ref(&forks).cast_mut().cast(),
                    ..Options::default()
                };
                let user = User::open_with(&name, &options);
                forks.handle.set(user.at());
                let status = user.lock();
                if !forks.is_child.get() {
                    assert_eq!((status, user.close()), (Status::Interrupted, Status::Ok));
                    return;
                }
                assert_eq!(status, Status::Forked, "the call of the parent, in the child");
                match does {
                    InChild::Nothing => {
                        assert_eq!((user.lock(), user.close()), (Status::Forked, Status::Forked));
                    }
                    InChild::Close => assert_eq!(open(user.at(), &name), Status::Ok),
                    InChild::OpenAnew => {}
                }
                if does != InChild::Nothing {
                    assert_eq!((user.try_once(), user.close()), (Status::Busy, Status::Ok));
                }
            })
            .ends_well();
        }
    });
}
