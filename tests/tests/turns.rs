//! Nobody keeps the lock from those who sleep by taking it again and again.

use std::time::{Duration, Instant};

use shmlock::{Builder, ShmLock};
use shmlock_tests::hostile::{Folder, Solo, fork};
use shmlock_tests::{alone, rounds, until};

const HERE: &str = "a lock of this process";

/// Longer than anybody waits awake for.
const SECTION: Duration = Duration::from_micros(100);

/// How many sections one process may do at most, on the average, before a sleeper gets in.
/// Arbitrary, between 8, seen on two quiet cores, and the 470 to 1440 that it was there without
/// `let_pass` in `turns.rs`.
const BOUND: u64 = 100;

fn acquisitions(lock: &ShmLock) -> u64 {
    lock.statistics().expect(HERE).acquisitions
}

#[test]
fn who_takes_the_lock_again_and_again_does_not_keep_a_sleeper_out() {
    alone!(|| nobody_keeps_us_out(|builder| builder));
}

#[test]
fn nor_does_one_whose_turns_are_short_or_none() {
    alone!(|| {
        nobody_keeps_us_out(|builder| builder.fairness_interval(Duration::from_micros(10)));
        nobody_keeps_us_out(|builder| builder.fairness_interval(Duration::ZERO));
    });
}

fn nobody_keeps_us_out(apply: impl Fn(Builder) -> Builder) {
    let fixture = Solo::new();
    let folder = Folder::new(&fixture);
    let open = || apply(folder.lock("l")).open().expect(HERE);
    let lock = open();
    let busy = fork(|line| {
        let lock = open();
        line.ready();
        loop {
            let _guard = lock.lock().expect("it comes free");
            let begin = Instant::now();
            while begin.elapsed() < SECTION {}
        }
    });
    busy.line().wait();
    let times = rounds(50);
    let mut others = 0;
    for _ in 0..times {
        let seen = acquisitions(&lock);
        until(|| acquisitions(&lock) > seen); // it has the lock again
        let before = acquisitions(&lock);
        let _guard = lock.lock().expect("it comes free");
        others += acquisitions(&lock) - before - 1;
    }
    assert!(others < BOUND * times, "{} sections of another for each of ours", others / times);
    busy.kill();
    let guard = lock.lock().expect("free, or a dead owner's");
    if guard.recovered().is_some() {
        guard.declare_consistent().expect("held");
    }
}
