//! Checks signal handlers that use the handle of the interrupted code.

#![allow(unsafe_code, reason = "a signal handler, and calls of functions for C")]

mod common;

use std::ffi::{c_int, c_void};
use std::ptr::{null, null_mut};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicPtr, AtomicU32};

use common::User;
use shmlock_c::acquire::{shmlock_release, shmlock_try};
use shmlock_c::callback::WaitPoint;
use shmlock_c::event::{Event, shmlock_event_close, shmlock_event_open, shmlock_event_set};
use shmlock_c::handle::Lock;
use shmlock_c::hold::shmlock_is_held;
use shmlock_c::open::shmlock_close;
use shmlock_c::options::{Options, SHMLOCK_SLEEP_POLLING};
use shmlock_c::status::Status;
use shmlock_tests::hostile::{Solo, fork};
use shmlock_tests::{Capability, alone, can, proc, until};

/// The handle that the handler uses.
static HANDLE: AtomicPtr<Lock> = AtomicPtr::new(null_mut());

/// How often the handler nested in a hold, acquired the free lock, and was refused; and how often
/// anything else happened.
static NESTED: AtomicU32 = AtomicU32::new(0);
static ACQUIRED: AtomicU32 = AtomicU32::new(0);
static REFUSED: AtomicU32 = AtomicU32::new(0);
static WRONG: AtomicU32 = AtomicU32::new(0);

extern "C" fn on_signal(_: libc::c_int) {
    let handle = HANDLE.load(Relaxed);
    // SAFETY: an open handle of the interrupted thread.
    let was_held = unsafe { shmlock_is_held(handle) };
    // SAFETY: as above.
    let seen = match unsafe { shmlock_try(handle, null_mut()) } {
        Status::Ok => {
            // SAFETY: as above.
            let released = unsafe { shmlock_release(handle, null_mut()) };
            match (released, was_held) {
                (Status::Ok, true) => &NESTED,
                (Status::Ok, false) => &ACQUIRED,
                _ => &WRONG,
            }
        }
        // In use by the interrupted call, which a handler cannot close either.
        // SAFETY: as above.
        Status::InUse if unsafe { shmlock_close(handle, null_mut()) } == Status::InUse => &REFUSED,
        _ => &WRONG,
    };
    seen.fetch_add(1, Relaxed); // partner: the loads of the test, on the same thread
}

/// Interrupts this process at this interval, in microseconds, from now on.
fn interrupt_each(microseconds: i32) {
    // SAFETY: the handler is async-signal-safe: nothing is logged, and no details are asked for.
    unsafe { libc::signal(libc::SIGALRM, on_signal as extern "C" fn(_) as libc::sighandler_t) };
    let each = libc::timeval { tv_sec: 0, tv_usec: microseconds.into() };
    let timer = libc::itimerval { it_interval: each, it_value: each };
    // SAFETY: a valid timer.
    assert_eq!(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, null_mut()) }, 0);
}

#[test]
fn a_handler_nests_in_a_hold_acquires_a_free_lock_and_is_refused_during_a_call() {
    const OFTEN: u32 = 100;
    alone!(|| {
        let fixture = Solo::new();
        // In a child with one thread, which all the signals interrupt.
        let child = fork(|_| {
            let user = User::open(&fixture.name("l"));
            HANDLE.store(user.at(), Relaxed);
            assert_eq!((user.lock(), user.release()), (Status::Ok, Status::Ok), "no signal yet");
            interrupt_each(100);
            let seen = || [&NESTED, &ACQUIRED, &REFUSED].map(|count| count.load(Relaxed));
            while seen().iter().any(|count| *count < OFTEN) {
                assert_eq!(user.lock(), Status::Ok);
                (0..20).for_each(|_| std::hint::spin_loop()); // about as long as a call
                assert_eq!(user.release(), Status::Ok);
                (0..20).for_each(|_| std::hint::spin_loop());
            }
            interrupt_each(0);
            assert_eq!(WRONG.load(Relaxed), 0, "{:?}", seen());
            assert_eq!((user.release(), user.close()), (Status::NotHeld, Status::Ok));
        });
        child.ends_well();
    });
}

/// The exit event that a handler sets.
static EVENT: AtomicPtr<Event> = AtomicPtr::new(null_mut());

extern "C" fn set_the_event(_: libc::c_int) {
    // SAFETY: an open event.
    let _ = unsafe { shmlock_event_set(EVENT.load(Relaxed), null_mut()) };
}

extern "C" fn do_nothing(_: libc::c_int) {}

/// Has this function handle the signal.
fn handle(signal: libc::c_int, handler: extern "C" fn(libc::c_int)) {
    // SAFETY: all zero is a valid action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    // SAFETY: a valid action, whose handler is async-signal-safe.
    assert_eq!(unsafe { libc::sigaction(signal, &raw const action, null_mut()) }, 0);
}

/// Goes on after a signal. Right before it says so, the signal comes that sets the event: it ends
/// no sleep.
unsafe extern "C" fn go_on(_: *mut c_void, point: WaitPoint) -> c_int {
    if point == WaitPoint::Signal {
        // SAFETY: raise(3) of a signal that has a handler.
        assert_eq!(unsafe { libc::raise(libc::SIGUSR1) }, 0);
    }
    0
}

#[test]
fn a_handler_that_sets_the_exit_event_ends_the_wait_also_between_the_answer_and_the_sleep() {
    const HOUR: u64 = 3600 * 1_000_000_000;
    alone!(|| {
        let fixture = Solo::new();
        let name = fixture.name("l");
        let holder = User::open(&name);
        assert_eq!(holder.lock(), Status::Ok);
        for flags in [0, SHMLOCK_SLEEP_POLLING] {
            if flags == 0 && !can(Capability::SleepOnTwoWords) {
                continue;
            }
            let waiter = fork(|line| {
                handle(libc::SIGUSR1, set_the_event);
                handle(libc::SIGUSR2, do_nothing);
                let mut event = Event::new();
                let event = &raw mut event;
                // SAFETY: an event that is not open.
                let opened = unsafe { shmlock_event_open(event, null(), null(), 0, null_mut()) };
                assert_eq!(opened, Status::Ok);
                EVENT.store(event, Relaxed); // partner: the handler, on the same thread
                let options = Options {
                    flags,
                    poll_interval_ns: HOUR,
                    exit_event: event,
                    interrupt: Some(go_on),
                    ..Options::default()
                };
                let user = User::open_with(&name, &options);
                line.ready();
                assert_eq!(user.lock(), Status::Cancelled);
                // SAFETY: an open event.
                assert_eq!(unsafe { shmlock_event_close(event, null_mut()) }, Status::Ok);
            });
            waiter.line().wait();
            let pid = waiter.pid().unsigned_abs();
            proc::comes_to_rest(pid);
            until(|| proc::sleeps(pid)); // its long sleep
            // SAFETY: kill(2) with the number of a child that has not been waited for.
            assert_eq!(unsafe { libc::kill(waiter.pid(), libc::SIGUSR2) }, 0);
            waiter.ends_well();
        }
    });
}
