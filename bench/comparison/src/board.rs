//! Lays out the memory that the processes of one run share beside the lock: orders, the counter,
//! and a row for each worker's account.
//!
//! Nothing here may order what the lock has to order: the critical section loads and stores
//! relaxed. The state starts and stops the workers; they wait for its change by futex, not by
//! sleeping. Only the two workers of a hand-off synchronise, by [`Pair`]: there the lock's time is
//! measured, not its order.

use std::hint::spin_loop;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::thread;
use std::time::Duration;

use rustix::thread::futex::{Flags, wait, wake};
use rustix::time::Timespec;
use shmlock_bench_support::histogram::BUCKETS;

/// The most workers of one run.
pub(crate) const ROWS: usize = 1024;

/// The orders to all workers.
pub(crate) mod state {
    /// Open the lock, and wait.
    pub(crate) const READY: u32 = 0;
    /// Acquire the lock again and again. The window has not begun, as some workers may be late.
    pub(crate) const RUN: u32 = 1;
    /// Continue, and count.
    pub(crate) const MEASURE: u32 = 2;
    /// Finish the critical section, and end.
    pub(crate) const STOP: u32 = 3;
}

/// A number on a pair of cache lines of its own.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Apart<T>(pub T);

/// The shared memory.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Board {
    /// The data that the lock protects: incremented in two steps.
    pub counter: Apart<AtomicU64>,
    /// One of [`state`].
    pub state: Apart<AtomicU32>,
    /// The number of arrivals: a worker arrives where it waits, and after its report.
    pub arrived: Apart<AtomicU32>,
    /// The work in a critical section, in turns of the loop in `work`.
    pub turns: Apart<AtomicU64>,
    /// The number of critical sections, or hand-offs, of a worker that stops by itself.
    pub share: AtomicU64,
    /// The time after which such a worker stops, in nanoseconds.
    pub window: AtomicU64,
    /// The mean sleep of a waiter before the lock is handed to it, in nanoseconds.
    pub sleep: AtomicU64,
    /// The number of threads of a worker that waits in several.
    pub threads: AtomicU32,
    /// The memory of a worker that holds the lock, in bytes.
    pub memory: AtomicU64,
    /// The messages between the two workers of a hand-off.
    pub pair: Pair,
    /// A row for each worker.
    pub rows: [Row; ROWS],
}

/// The messages between the two workers of a hand-off: numbers of hand-offs, which only grow.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Pair {
    /// The hand-off for which the releaser holds the lock; [`u64::MAX`] after the last.
    pub held: Apart<AtomicU64>,
    /// The hand-off for which the acquirer is about to lock.
    pub asked: Apart<AtomicU64>,
    /// The hand-off that is over for the releaser.
    pub released: Apart<AtomicU64>,
    /// The time at which the releaser began to release; stored before `released`.
    pub released_at: AtomicU64,
    /// The hand-off that is over for the acquirer.
    pub acquired: Apart<AtomicU64>,
}

/// The report of a worker that has stopped, or that waits.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Row {
    /// All its critical sections, for the check of the counter.
    pub sections: AtomicU64,
    /// Its critical sections that ended in the window.
    pub counted: AtomicU64,
    /// Processor time in the window, in nanoseconds.
    pub cpu: AtomicU64,
    /// The number of sleeps in the window.
    pub sleeps: AtomicU64,
    /// The sum of all measured times: acquires, hand-offs, or whole turns of a share.
    pub total: AtomicU64,
    /// The longest measured time.
    pub longest: AtomicU64,
    /// The start of the wait, for a worker that waits once; 0 before.
    pub asked_at: AtomicU64,
    /// The end of that wait, with the lock acquired; 0 before.
    pub owned_at: AtomicU64,
    /// A histogram of the measured times.
    pub waits: [AtomicU64; BUCKETS],
}

impl Board {
    /// Returns the current order.
    #[inline]
    pub(crate) fn state(&self) -> u32 {
        // Partner: `order`. Relaxed: the parameters were stored before the worker was started.
        self.state.0.load(Relaxed)
    }

    /// Sets the order, and wakes the workers that wait for it.
    pub(crate) fn order(&self, state: u32) {
        self.state.0.store(state, Release); // partners: `await_change`, and `state` relaxed
        let all = i32::MAX.unsigned_abs();
        let _ = wake(&self.state.0, Flags::empty(), all); // the address is valid
    }

    /// Waits until the order is another than `state`.
    pub(crate) fn await_change(&self, state: u32) {
        // Partner: the Release in `order`.
        while self.state.0.load(Acquire) == state {
            // Fails on a changed word or a signal; the loop tries again.
            let _ = wait(&self.state.0, Flags::empty(), state, None);
        }
    }

    /// Spins until `number` is at least `value`; returns it.
    pub(crate) fn spin_until(number: &AtomicU64, value: u64) -> u64 {
        let mut attempts = 0_u32;
        loop {
            let seen = number.load(Acquire); // partner: the Release in `publish`
            if seen >= value {
                return seen;
            }
            attempts += 1;
            if attempts < 10_000 {
                spin_loop();
            } else {
                thread::yield_now(); // the writer may need this CPU
            }
        }
    }

    /// Stores `value` for the worker that spins on `number`.
    pub(crate) fn publish(number: &AtomicU64, value: u64) {
        number.store(value, Release); // partner: the Acquire in `spin_until`
    }

    /// Counts the arrival of this worker, and wakes the coordinator.
    pub(crate) fn arrive(&self) {
        self.arrived.0.fetch_add(1, AcqRel); // partner: `await_arrivals`, before it reads the rows
        let _ = wake(&self.arrived.0, Flags::empty(), 1);
    }

    /// Waits for a change until `all` workers have arrived, at most for `bound`. Returns `true` if
    /// they have.
    pub(crate) fn await_arrivals(&self, all: u32, bound: Duration) -> bool {
        let bound = Timespec {
            tv_sec: i64::try_from(bound.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: bound.subsec_nanos().into(),
        };
        let seen = self.arrived.0.load(Acquire); // partner: `arrive`; so below
        if seen < all {
            let _ = wait(&self.arrived.0, Flags::empty(), seen, Some(&bound));
        }
        self.arrived.0.load(Acquire) >= all
    }
}
