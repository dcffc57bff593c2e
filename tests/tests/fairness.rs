//! Checks fairness: a process that acquires in a loop does not keep sleeping waiters out.

use std::time::{Duration, Instant};

use shmlock::{Builder, ShmLock};
use shmlock_tests::hostile::{Folder, Solo, fork};
use shmlock_tests::{alone, rounds, until};

const HERE: &str = "a lock of this process";

/// Longer than a waiter spins.
const SECTION: Duration = Duration::from_micros(100);

/// The greatest mean number of critical sections of one process before a sleeping waiter acquires.
/// Arbitrary: far above the mean on quiet CPUs, and far below the mean without the hand-off.
const BOUND: u64 = 100;

/// Returns how long this thread has waited for a processor since it began. Meanwhile no hand-off
/// reaches it.
fn waited_for_processor() -> Duration {
    // Not every kernel has it: then nothing is allowed for.
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split_whitespace().nth(1).and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

fn acquisitions(lock: &ShmLock) -> u64 {
    lock.statistics().expect(HERE).acquisitions
}

#[test]
fn a_process_that_acquires_in_a_loop_does_not_keep_a_sleeping_waiter_out() {
    alone!(|| assert_fair(|builder| builder));
}

#[test]
fn a_short_or_zero_fairness_interval_does_not_keep_a_sleeping_waiter_out() {
    alone!(|| {
        assert_fair(|builder| builder.fairness_interval(Duration::from_micros(10)));
        assert_fair(|builder| builder.fairness_interval(Duration::ZERO));
    });
}

fn assert_fair(apply: impl Fn(Builder) -> Builder) {
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
    let starved_before = waited_for_processor();
    for _ in 0..times {
        let seen = acquisitions(&lock);
        until(|| acquisitions(&lock) > seen); // the busy process has acquired again
        let before = acquisitions(&lock);
        let _guard = lock.lock().expect("it comes free");
        others += acquisitions(&lock) - before - 1;
    }
    let starved = waited_for_processor().saturating_sub(starved_before);
    let meanwhile = u64::try_from(starved.as_nanos() / SECTION.as_nanos()).unwrap_or(u64::MAX);
    assert!(
        others.saturating_sub(meanwhile) < BOUND * times,
        "{} critical sections of the busy process for each of ours, {} of them while this thread \
         had no processor",
        others / times,
        meanwhile / times
    );
    busy.kill();
    let guard = lock.lock().expect("free, or a dead owner's");
    if guard.recovered().is_some() {
        guard.declare_consistent().expect("held");
    }
}
