//! Checks a program that closes descriptors twice while another thread opens, uses and closes a
//! lock. At any system call a number may be closed, and then lead to another description of the
//! lock. An open lock still excludes.

#![allow(unsafe_code, reason = "closes descriptors of other code")]

use std::fs::File;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use shmlock::{Error, LockState};
use shmlock_tests::hostile::{Folder, Solo};
use shmlock_tests::{alone, rounds, until};

const HERE: &str = "a lock of this process";

/// The outcomes of the openings.
#[derive(Debug, Default)]
struct Openings {
    opened: u64,
    refused: u64,
    entered: u64,
    /// An error about a file other than the lock's.
    unfounded: Option<Error>,
}

#[test]
fn stray_closes_at_any_moment_make_no_two_holders_and_no_hang() {
    alone!(|| {
        let fixture = Solo::new();
        let folder = Folder::new(&fixture);
        let holder = folder.lock("l").open().expect(HERE);
        let guard = holder.lock().expect("free");
        let lowest = File::open("/dev/null").expect("there").as_raw_fd();
        let (round, last) = (AtomicU64::new(0), rounds(4000));
        let openings = thread::scope(|scope| {
            scope.spawn(|| close_strays(&round, last, lowest, &folder.file("l")));
            scope.spawn(|| open_in_each_round(&round, last, &folder)).join().expect("no panic")
        });
        assert!(
            openings.unfounded.is_none() && openings.entered == 0 && openings.opened > 0,
            "{openings:?}"
        );
        assert_eq!(holder.status().expect(HERE).state, LockState::HeldByThisHandle);
        drop(folder.lock("l").open().expect("the name can be opened afterwards"));
        guard.release().expect("no other handle took the lock");
    });
}

/// Opens and tries the lock in each round. Asserts nothing itself, because a panic would leave the
/// other thread waiting for the next round.
fn open_in_each_round(round: &AtomicU64, last: u64, folder: &Folder) -> Openings {
    let mut openings = Openings::default();
    for now in 1..=last {
        round.store(now, Relaxed);
        match folder.lock("l").poll_interval(Duration::from_millis(1)).open() {
            Ok(lock) => {
                openings.opened += 1;
                let tried = matches!(lock.try_lock(), Ok(Some(_)));
                let waited = lock.try_lock_for(Duration::from_micros(1)).is_ok();
                openings.entered += u64::from(tried) + u64::from(waited);
            }
            Err(error @ (Error::Unsupported { .. } | Error::NotALock { .. })) => {
                openings.unfounded = Some(error);
            }
            Err(_) => openings.refused += 1,
        }
    }
    openings
}

/// In each round, after a different delay, closes what the opener has just opened, and takes its
/// number.
fn close_strays(round: &AtomicU64, last: u64, lowest: RawFd, file: &Path) {
    for now in 1..=last {
        until(|| round.load(Relaxed) >= now);
        for _ in 0..(now * 37) % 3000 {
            std::hint::spin_loop();
        }
        for number in lowest..lowest + 2 {
            // SAFETY: close(2) with a number; that it may belong to other code is the test.
            unsafe { libc::close(number) };
        }
        // Not an `OwnedFd`: the number is closed, whatever it leads to by then.
        let stranger = File::open(file).map_or(-1, IntoRawFd::into_raw_fd);
        thread::yield_now();
        // SAFETY: as above.
        unsafe { libc::close(stranger) };
    }
}
