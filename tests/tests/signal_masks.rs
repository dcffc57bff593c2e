//! Whose the signal mask is: the program's. What the program changes while we hold signals back
//! stays as the program wants it.

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
    // SAFETY: a valid set; the former one is not asked for.
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

fn holding_back(name: &str) -> ShmLock {
    quietly(|| ShmLock::builder(name).block_signals(BlockSignals::WhileHeld).open())
        .expect("a lock")
}

#[test]
fn what_the_program_changes_in_the_section_stays_changed() {
    let fixture = Solo::new();
    aside(|| {
        let lock = holding_back(&fixture.name("l"));
        mask(libc::SIG_UNBLOCK, &[libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGUSR1]);
        mask(libc::SIG_BLOCK, &[libc::SIGUSR2]);
        let guard = lock.lock().expect("free");
        mask(libc::SIG_BLOCK, &[libc::SIGUSR1]);
        mask(libc::SIG_UNBLOCK, &[libc::SIGUSR2]);
        drop(guard);
        assert!(is_blocked(libc::SIGUSR1), "it was let in behind the program's back");
        assert!(!is_blocked(libc::SIGUSR2), "it was blocked behind the program's back");
        assert_eq!(blocked(), [false; 3]);
    });
}

#[test]
fn what_the_program_had_blocked_before_stays_blocked() {
    let fixture = Solo::new();
    aside(|| {
        let lock = holding_back(&fixture.name("l"));
        mask(libc::SIG_UNBLOCK, &ENDING);
        mask(libc::SIG_BLOCK, &[libc::SIGTERM]);
        drop(lock.lock().expect("free"));
        assert_eq!(blocked(), [false, true, false]);
    });
}

#[test]
fn a_section_within_one_in_which_the_program_lets_signals_in_holds_them_back() {
    let fixture = Solo::new();
    aside(|| {
        let (outer, inner) =
            (holding_back(&fixture.name("outer")), holding_back(&fixture.name("inner")));
        mask(libc::SIG_UNBLOCK, &ENDING);
        let outer = outer.lock().expect("free");
        mask(libc::SIG_UNBLOCK, &ENDING);
        let inner = inner.lock().expect("free");
        assert_eq!(blocked(), [true; 3], "in the inner one");
        drop(inner);
        drop(outer);
        assert_eq!(blocked(), [false; 3]);
    });
}

#[test]
fn a_child_that_is_forked_in_the_section_lets_signals_in_with_the_end_of_its_copy() {
    alone!(|| {
        let fixture = Solo::new();
        let lock = holding_back(&fixture.name("l"));
        let own = fixture.name("own");
        mask(libc::SIG_UNBLOCK, &ENDING);
        lock.acquire().expect("free");
        let mut lock = Some(lock);
        fork(|_| {
            assert_eq!(blocked(), [true; 3], "as it was forked");
            drop(lock.take());
            assert_eq!(blocked(), [false; 3]);
            let own = holding_back(&own);
            drop(own.lock().expect("free"));
            assert_eq!(blocked(), [false; 3], "it counts anew");
        })
        .ends_well();
        assert_eq!(blocked(), [true; 3], "the parent's section goes on");
        lock.expect("the child dropped a copy").release().expect("held");
        assert_eq!(blocked(), [false; 3]);
    });
}
