//! Checks that the signal mask stays the program's: a change that the program makes while the lock
//! blocks signals survives the release.

#![allow(unsafe_code, reason = "signal masks exist in libc only")]

use std::mem::zeroed;
use std::ptr::null_mut;

use shmlock::{BlockSignals, ShmLock};
use shmlock_tests::hostile::{Solo, aside, fork};
use shmlock_tests::{alone, quietly};

const ENDING: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

fn mask(how: i32, signals: &[i32]) {
    // SAFETY: zeroed is an empty set.
    let mut set: libc::sigset_t = unsafe { zeroed() };
    for signal in signals {
        // SAFETY: a valid set and a signal that exists.
        unsafe { libc::sigaddset(&raw mut set, *signal) };
    }
    // SAFETY: a valid set; the old mask is not requested.
    assert_eq!(unsafe { libc::pthread_sigmask(how, &raw const set, null_mut()) }, 0);
}

fn is_blocked(signal: i32) -> bool {
    // SAFETY: zeroed is an empty set.
    let mut set: libc::sigset_t = unsafe { zeroed() };
    // SAFETY: no new mask, and a valid place for the present one.
    assert_eq!(unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, null_mut(), &raw mut set) }, 0);
    // SAFETY: a valid set and a signal that exists.
    unsafe { libc::sigismember(&raw const set, signal) == 1 }
}

fn blocked() -> [bool; 3] {
    ENDING.map(is_blocked)
}

fn open_blocking(name: &str) -> ShmLock {
    quietly(|| ShmLock::builder(name).block_signals(BlockSignals::WhileHeld).open())
        .expect("a lock")
}

#[test]
fn a_mask_that_the_program_changes_in_the_critical_section_stays_changed() {
    let fixture = Solo::new();
    aside(|| {
        let lock = open_blocking(&fixture.name("l"));
        mask(libc::SIG_UNBLOCK, &[libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGUSR1]);
        mask(libc::SIG_BLOCK, &[libc::SIGUSR2]);
        let guard = lock.lock().expect("free");
        mask(libc::SIG_BLOCK, &[libc::SIGUSR1]);
        mask(libc::SIG_UNBLOCK, &[libc::SIGUSR2]);
        drop(guard);
        assert!(
            is_blocked(libc::SIGUSR1),
            "the release unblocked a signal that the program blocked"
        );
        assert!(
            !is_blocked(libc::SIGUSR2),
            "the release blocked a signal that the program unblocked"
        );
        assert_eq!(blocked(), [false; 3]);
    });
}

#[test]
fn a_signal_that_the_program_blocked_before_stays_blocked() {
    let fixture = Solo::new();
    aside(|| {
        let lock = open_blocking(&fixture.name("l"));
        mask(libc::SIG_UNBLOCK, &ENDING);
        mask(libc::SIG_BLOCK, &[libc::SIGTERM]);
        drop(lock.lock().expect("free"));
        assert_eq!(blocked(), [false, true, false]);
    });
}

#[test]
fn an_inner_critical_section_blocks_signals_that_the_program_unblocked_in_the_outer_one() {
    let fixture = Solo::new();
    aside(|| {
        let (outer, inner) =
            (open_blocking(&fixture.name("outer")), open_blocking(&fixture.name("inner")));
        mask(libc::SIG_UNBLOCK, &ENDING);
        let outer = outer.lock().expect("free");
        mask(libc::SIG_UNBLOCK, &ENDING);
        let inner = inner.lock().expect("free");
        assert_eq!(blocked(), [true; 3], "in the inner critical section");
        drop(inner);
        drop(outer);
        assert_eq!(blocked(), [false; 3]);
    });
}

#[test]
fn a_child_forked_in_the_critical_section_unblocks_signals_when_it_drops_its_copy() {
    alone!(|| {
        let fixture = Solo::new();
        let lock = open_blocking(&fixture.name("l"));
        let own = fixture.name("own");
        mask(libc::SIG_UNBLOCK, &ENDING);
        lock.acquire().expect("free");
        let mut lock = Some(lock);
        fork(|_| {
            assert_eq!(blocked(), [true; 3], "the child starts with the parent's mask");
            drop(lock.take());
            assert_eq!(blocked(), [false; 3]);
            let own = open_blocking(&own);
            drop(own.lock().expect("free"));
            assert_eq!(blocked(), [false; 3], "the child does not count from zero");
        })
        .ends_well();
        assert_eq!(blocked(), [true; 3], "the parent's mask was changed");
        lock.expect("the child dropped a copy").release().expect("held");
        assert_eq!(blocked(), [false; 3]);
    });
}
