//! Flaw 4: a child inherits what proves its parent's life, and vouches for it after its death.
//!
//! The cure: the proof hangs on a mapping that children do not get, and on no descriptor.

#![allow(unsafe_code, reason = "pause, alarm and kill")]

use std::process::{Command, Stdio};

use shmlock::{Error, ShmLock};
use shmlock_tests::hostile::{Denied, Solo, deny, fork, raw_clone};
use shmlock_tests::{Ability, alone, can};

/// A child that outlives its parent. Killed at the end, when it still has to be there.
struct Survivor(i32);

impl Drop for Survivor {
    fn drop(&mut self) {
        // SAFETY: kill(2) with two numbers. The process ends by nothing else, so the number is still its own.
        let answer = unsafe { libc::kill(self.0, libc::SIGKILL) };
        assert!(answer == 0 || std::thread::panicking(), "it has not outlived its parent: the test shows nothing");
    }
}

/// What such a child does. Not for ever: the test might fail before it kills it.
fn survive() -> ! {
    // SAFETY: prctl(2) with two numbers; undoes what every child of the harness begins with.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, 0) };
    // SAFETY: alarm(2) with a number.
    unsafe { libc::alarm(60) };
    loop {
        // SAFETY: pause(2) has no preconditions.
        unsafe { libc::pause() };
    }
}

/// The owner takes the lock, has a child by `beget`, which gives its number, and is killed: the lock is to be had.
fn assert_recovered_though_the_child_lives(beget: impl Fn() -> i32) {
    if !can(Ability::KeepMemoryFromChildren) {
        return;
    }
    let scene = Solo::new();
    let name = scene.name("l");
    let owner = fork(|line| {
        let lock = ShmLock::open(&name).expect("a new lock");
        let _guard = lock.lock().expect("free");
        line.say(beget().into());
        line.wait();
    });
    let _child = Survivor(i32::try_from(owner.line().hear()).expect("a process id"));
    let lock = ShmLock::open(&name).expect("a lock");
    assert!(lock.try_lock().expect("a lock").is_none(), "the owner lives");
    owner.murder();
    let guard = lock.lock().expect("the owner is dead");
    assert!(guard.recovered().expect("it died").dead.is_some());
    guard.declare_consistent().expect("held");
}

#[test]
fn a_forked_child_does_not_vouch_for_its_dead_parent() {
    alone!(|| assert_recovered_though_the_child_lives(|| fork(|_| survive()).leave()));
}

#[test]
fn a_child_that_libc_does_not_know_of_does_not_vouch_for_its_dead_parent() {
    alone!(|| assert_recovered_though_the_child_lives(|| raw_clone(|_| survive()).leave()));
}

#[test]
fn another_program_does_not_vouch_for_the_dead_who_started_it() {
    alone!(|| assert_recovered_though_the_child_lives(|| {
        let mut sleep = Command::new("sleep");
        let child = sleep.arg("60").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        i32::try_from(child.expect("sleep(1) can be started").id()).expect("a process id")
    }));
}

fn assert_noticed(lock: &ShmLock) {
    let error = lock.try_lock().map(std::mem::forget).expect_err("it is the parent's");
    assert!(matches!(error, Error::ForkedHandle { .. }), "{error:?}");
}

#[test]
fn a_child_that_libc_does_not_know_of_notices_that_its_handles_are_the_parents() {
    alone!(|| {
        if !can(Ability::KeepMemoryFromChildren) {
            return;
        }
        let scene = Solo::new();
        let lock = ShmLock::open(&scene.name("l")).expect("a new lock");
        raw_clone(|_| assert_noticed(&lock)).ends_well();
        assert!(lock.try_lock().expect("ours").is_some());
    });
}

#[test]
fn where_no_page_is_wiped_a_forked_child_notices_all_the_same() {
    alone!(|| {
        let scene = Solo::new();
        if !deny(&[Denied::advice(libc::MADV_WIPEONFORK)]) {
            return; // an emulator: then all other tests of forks have shown it
        }
        let name = scene.name("l");
        let lock = ShmLock::open(&name).expect("Linux before 4.14");
        fork(|_| {
            assert_noticed(&lock);
            let own = ShmLock::open(&name).expect("one of its own");
            fork(|_| assert_noticed(&own)).ends_well();
            assert!(own.try_lock().expect("a lock").is_some());
        })
        .ends_well();
        assert!(lock.try_lock().expect("ours").is_some());
    });
}
