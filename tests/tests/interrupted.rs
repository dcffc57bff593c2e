//! Checks that repeated signals with a handler make no system call of the library fail.

#![allow(unsafe_code, reason = "an interval timer and a handler without SA_RESTART")]

use std::ptr::null_mut;

use shmlock::{CleanOutcome, DiedFlag};
use shmlock_tests::hostile::{Denied, Folder, Solo, aside, deny, fork, interrupt_once};
use shmlock_tests::{alone, rounds};

extern "C" fn nothing(_: libc::c_int) {}

/// Interrupts this process by a handler at this interval, in microseconds, from now on.
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

/// Runs `act` in a child with one thread, which all the signals interrupt.
fn interrupted(microseconds: i32, act: impl Fn(&Folder)) {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
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
                    let lock = folder
                        .lock("l")
                        .open()
                        .unwrap_or_else(|error| panic!("round {round}: {error}"));
                    assert!(lock.try_lock().expect("a lock").is_some());
                }
            });
        }
    });
}

/// Lists the system calls of opening, locking and closing, without close(2), which cannot be
/// repeated.
fn all_calls() -> Vec<libc::c_long> {
    let same = [
        libc::SYS_openat,
        libc::SYS_fchmod,
        libc::SYS_fallocate,
        libc::SYS_linkat,
        libc::SYS_unlinkat,
        libc::SYS_madvise,
        libc::SYS_getrandom,
        libc::SYS_ftruncate,
        libc::SYS_pread64,
        libc::SYS_pwrite64,
    ];
    #[cfg(target_pointer_width = "64")]
    let other = [libc::SYS_fcntl];
    #[cfg(target_pointer_width = "32")]
    let other = [libc::SYS_fcntl64];
    #[cfg(target_arch = "x86_64")]
    let older = [libc::SYS_unlink];
    #[cfg(not(target_arch = "x86_64"))]
    let older = [];
    same.into_iter().chain(other).chain(older).collect()
}

/// Each call is interrupted exactly once, whatever the kernel itself would restart.
#[test]
fn every_interrupted_system_call_is_repeated() {
    for denied in [&[][..], &[Denied::nameless(libc::EPERM)], &[Denied::allocation(libc::EPERM)]] {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let left = folder.put("b", &[0; 192]);
        aside(|| {
            if !deny(denied) {
                return;
            }
            let Some(count) = interrupt_once(&all_calls()) else { return };
            let lock = folder.lock("l").open().expect("a new lock");
            let other = folder.lock("l").open().expect("a lock");
            assert!(lock.try_lock().expect("a lock").is_some());
            assert!(lock.status().expect("a lock").is_healthy());
            assert!(folder.lock("l").inspect().expect("may be read").is_some());
            drop((lock, other));
            assert!(!folder.file("l").exists());
            drop(
                folder.lock("b").schema("s").open_block::<u64>().expect("the old lock is replaced"),
            );
            assert!(!left.exists());
            let _left = folder.put("b", &[0; 192]);
            assert_eq!(
                folder.lock("b").clean(DiedFlag::Keep).expect("a lock"),
                CleanOutcome::Removed
            );
            assert!(count.get() > 100, "nothing was interrupted");
        });
    }
}

#[test]
fn a_large_block_is_allocated_although_signals_interrupt_the_allocation() {
    const BYTES: usize = 48 << 20;
    alone!(|| {
        for microseconds in [1000, 100] {
            interrupted(microseconds, |folder| {
                drop(folder.lock("b").open_block::<[u8; BYTES]>().expect("allocated in pieces"));
            });
        }
    });
}

#[test]
fn without_fallocate_a_large_block_is_written_although_signals_interrupt() {
    const BYTES: usize = 8 << 20;
    alone!(|| {
        interrupted(100, |folder| {
            if deny(&[Denied::allocation(libc::EOPNOTSUPP), Denied::nameless(libc::EOPNOTSUPP)]) {
                drop(folder.lock("b").open_block::<[u8; BYTES]>().expect("allocated in pieces"));
            }
        });
    });
}
