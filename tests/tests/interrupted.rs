//! Signals with a handler, again and again: no system call of ours gives up because of them.

#![allow(unsafe_code, reason = "an interval timer and a handler without SA_RESTART")]

use std::ptr::null_mut;

use shmlock_tests::hostile::{Denied, Folder, Solo, deny, fork};
use shmlock_tests::{alone, rounds};

extern "C" fn nothing(_: libc::c_int) {}

/// Has this process interrupted by a handler each so many microseconds from now on.
fn interrupt_each(microseconds: i32) {
    // SAFETY: all zero is a valid action: no flags, so that system calls are not restarted.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = nothing as *const () as usize;
    // SAFETY: a valid action, whose handler does nothing.
    assert_eq!(unsafe { libc::sigaction(libc::SIGALRM, &raw const action, null_mut()) }, 0);
    let each = libc::timeval { tv_sec: 0, tv_usec: microseconds.into() };
    let timer = libc::itimerval { it_interval: each, it_value: each };
    // SAFETY: a valid timer.
    assert_eq!(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, null_mut()) }, 0);
}

/// In a child with one thread, which all the signals interrupt.
fn interrupted(microseconds: i32, act: impl Fn(&Folder)) {
    let scene = Solo::new();
    let folder = Folder::new(&scene);
    fork(|_| {
        interrupt_each(microseconds);
        act(&folder);
    })
    .ends_well();
    assert!(folder.names().is_empty());
}

#[test]
fn opening_a_lock_does_not_fail_because_a_signal_comes() {
    alone!(|| {
        for microseconds in [1000, 100] {
            interrupted(microseconds, |folder| {
                for round in 0..rounds(10_000) {
                    let lock = folder.lock("l").open().unwrap_or_else(|error| panic!("round {round}: {error}"));
                    assert!(lock.try_lock().expect("a lock").is_some());
                }
            });
        }
    });
}

#[test]
fn a_large_block_is_made_although_signals_come_faster_than_its_memory() {
    const BYTES: usize = 48 << 20;
    alone!(|| {
        for microseconds in [1000, 100] {
            interrupted(microseconds, |folder| {
                drop(folder.lock("b").open_block::<[u8; BYTES]>().expect("in pieces"));
            });
        }
    });
}

#[test]
fn a_large_block_is_written_although_signals_come_where_it_cannot_be_allocated() {
    const BYTES: usize = 8 << 20;
    alone!(|| {
        interrupted(100, |folder| {
            if deny(&[Denied::allocation(libc::EOPNOTSUPP), Denied::nameless(libc::EOPNOTSUPP)]) {
                drop(folder.lock("b").open_block::<[u8; BYTES]>().expect("in pieces"));
            }
        });
    });
}
