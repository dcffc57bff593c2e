//! Flaw 4: a child inherits the proof of its parent's life, and vouches for the parent after its
//! death.
//!
//! The cure: the proof depends on a mapping that children do not get, and on no descriptor.

#![allow(unsafe_code, reason = "pause, alarm and kill")]

use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use shmlock::{Error, ShmLock};
use shmlock_tests::hostile::{Denied, Line, Solo, deny, fork, raw_clone};
use shmlock_tests::{Capability, alone, can, rounds, until};

/// A child that outlives its parent. The drop kills it, and asserts that it was still there.
struct Survivor(i32);

impl Drop for Survivor {
    fn drop(&mut self) {
        // SAFETY: kill(2) with two numbers. Only this signal ends the process, so the number is
        // still its own.
        let answer = unsafe { libc::kill(self.0, libc::SIGKILL) };
        assert!(
            answer == 0 || std::thread::panicking(),
            "the child did not outlive its parent: the test shows nothing"
        );
    }
}

/// The body of such a child. The alarm bounds it, because the test might fail before it kills it.
fn survive() -> ! {
    // SAFETY: prctl(2) with two numbers; undoes the first step of every child of the harness.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, 0) };
    // SAFETY: alarm(2) with a number.
    unsafe { libc::alarm(60) };
    loop {
        // SAFETY: pause(2) has no preconditions.
        unsafe { libc::pause() };
    }
}

/// Forks an owner that acquires the lock and starts a child by `beget`, which returns its process
/// id. Kills the owner, and asserts that the lock is recovered.
fn assert_recovered_though_the_child_lives(beget: impl Fn() -> i32) {
    if !can(Capability::KeepMemoryFromChildren) {
        return;
    }
    let fixture = Solo::new();
    let name = fixture.name("l");
    let owner = fork(|line| {
        let lock = ShmLock::open(&name).expect("a new lock");
        let _guard = lock.lock().expect("free");
        line.say(beget().into());
        line.wait();
    });
    let _child = Survivor(i32::try_from(owner.line().hear()).expect("a process id"));
    let lock = ShmLock::open(&name).expect("a lock");
    assert!(lock.try_lock().expect("a lock").is_none(), "the owner lives");
    owner.kill();
    let guard = lock.lock().expect("the owner is dead");
    assert!(guard.recovered().expect("it died").dead.is_some());
    guard.declare_consistent().expect("held");
}

#[test]
fn a_forked_child_does_not_vouch_for_its_dead_parent() {
    alone!(|| assert_recovered_though_the_child_lives(|| fork(|_| survive()).leave()));
}

#[test]
fn a_child_by_raw_clone_does_not_vouch_for_its_dead_parent() {
    alone!(|| assert_recovered_though_the_child_lives(|| raw_clone(|_| survive()).leave()));
}

/// While a handle is opened, a descriptor carries the proof of its life. A fork waits for that, at
/// whatever moment it comes.
#[test]
fn a_child_forked_while_another_thread_opens_the_lock_does_not_vouch_for_its_parent() {
    /// Longer than an opening takes, with the start of the other thread. The fork comes later in
    /// each round, up to this delay.
    const WHILE: Duration = Duration::from_micros(300);
    alone!(|| {
        if !can(Capability::KeepMemoryFromChildren) {
            return;
        }
        let fixture = Solo::new();
        let name = fixture.name("l");
        let times = u32::try_from(rounds(120)).expect("few");
        for time in 0..times {
            let owner = fork(|line| own_and_fork(line, &name, WHILE * time / times));
            let _child = Survivor(i32::try_from(owner.line().hear()).expect("a process id"));
            owner.kill();
            let lock = ShmLock::open(&name).expect("a lock");
            let guard = lock.try_lock_for(Duration::from_secs(20)).expect("its owner is dead");
            assert!(guard.recovered().expect("it died").dead.is_some());
            guard.declare_consistent().expect("held");
        }
    });
}

/// Opens and acquires the lock in one thread, and forks in another after the delay `later`.
fn own_and_fork(line: &Line, name: &str, later: Duration) {
    let (begins, holds) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !begins.load(Relaxed) {
                std::hint::spin_loop();
            }
            let lock = ShmLock::open(name).expect("a lock");
            lock.acquire().expect("free");
            holds.store(true, Relaxed);
            loop {
                thread::park();
            }
        });
        begins.store(true, Relaxed);
        let begin = Instant::now();
        while begin.elapsed() < later {}
        let child = fork(|_| survive()).leave();
        until(|| holds.load(Relaxed));
        line.say(child.into());
        line.wait();
    });
}

#[test]
fn another_program_does_not_vouch_for_the_dead_process_that_started_it() {
    alone!(|| assert_recovered_though_the_child_lives(|| {
        let mut sleep = Command::new("sleep");
        let child = sleep
            .arg("60")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        i32::try_from(child.expect("sleep(1) can be started").id()).expect("a process id")
    }));
}

fn assert_refused(lock: &ShmLock) {
    let error = lock.try_lock().map(std::mem::forget).expect_err("it is the parent's");
    assert!(matches!(error, Error::ForkedHandle { .. }), "{error:?}");
}

#[test]
fn a_child_by_raw_clone_refuses_its_parents_handles() {
    alone!(|| {
        if !can(Capability::KeepMemoryFromChildren) {
            return;
        }
        let fixture = Solo::new();
        let lock = ShmLock::open(&fixture.name("l")).expect("a new lock");
        raw_clone(|_| assert_refused(&lock)).ends_well();
        assert!(lock.try_lock().expect("ours").is_some());
    });
}

#[test]
fn without_madv_wipeonfork_a_forked_child_still_refuses_its_parents_handles() {
    alone!(|| {
        let fixture = Solo::new();
        if !deny(&[Denied::advice(libc::MADV_WIPEONFORK)]) {
            return; // an emulator lacks it too: then all other tests of forks show this
        }
        let name = fixture.name("l");
        let lock = ShmLock::open(&name).expect("Linux before 4.14");
        fork(|_| {
            assert_refused(&lock);
            let own = ShmLock::open(&name).expect("one of its own");
            fork(|_| assert_refused(&own)).ends_well();
            assert!(own.try_lock().expect("a lock").is_some());
        })
        .ends_well();
        assert!(lock.try_lock().expect("ours").is_some());
    });
}
