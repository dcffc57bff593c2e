//! What do the processes of one run share beside the lock? Orders, the counter, and a row for each
//! worker's account.
//!
//! Nothing here may order what the lock has to order: what the section touches is read and written
//! relaxed. The state is what starts and stops everybody; it is changed and awaited by futex, never
//! by sleeping a while. (Only the hand-offs are arranged by two who watch each other, since that is
//! what they measure; there a lock shows in time, not in order.)

use std::hint::spin_loop;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::thread;
use std::time::Duration;

use rustix::thread::futex::{Flags, wait, wake};
use rustix::time::Timespec;

use crate::histogram::BUCKETS;

/// The most workers of one run.
pub(crate) const ROWS: usize = 64;

/// What everybody is to do.
pub(crate) mod state {
    /// Get ready, and wait.
    pub(crate) const READY: u32 = 0;
    /// Take the lock again and again; it does not count yet, for some may still be on their way.
    pub(crate) const RUN: u32 = 1;
    /// Go on, and count.
    pub(crate) const MEASURE: u32 = 2;
    /// Finish the section, and end.
    pub(crate) const STOP: u32 = 3;
}

/// A number on its own pair of cache lines.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Apart<T>(pub T);

/// All of it.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Board {
    /// What the lock protects: counted up in two steps.
    pub counter: Apart<AtomicU64>,
    /// One of [`state`].
    pub state: Apart<AtomicU32>,
    /// How many workers have come to where they wait, or last reported.
    pub arrived: Apart<AtomicU32>,
    /// How long the work in a section is, in turns of the loop in `work`.
    pub turns: Apart<AtomicU64>,
    /// How much a worker does that stops by itself: sections, or hand-offs.
    pub share: AtomicU64,
    /// For how long it does that at most, and how long a waiter sleeps before the lock is handed
    /// to it; in nanoseconds.
    pub window: AtomicU64,
    /// As `window`.
    pub sleep: AtomicU64,
    /// What one who holds the lock and one who waits for it say to each other.
    pub pair: Pair,
    /// One for each worker.
    pub rows: [Row; ROWS],
}

/// What one who holds the lock and one who waits for it say to each other, in numbers that only
/// grow.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Pair {
    /// The hand-off for which one holds the lock; [`u64::MAX`] when there is none to come.
    pub held: Apart<AtomicU64>,
    /// The hand-off for which the other is about to ask for it.
    pub asked: Apart<AtomicU64>,
    /// The hand-off that is over for the one who held it, with the moment when that one began to
    /// give it back.
    pub given: Apart<AtomicU64>,
    /// See `given`; written before that.
    pub given_at: AtomicU64,
    /// The hand-off that is over for the other, too.
    pub taken: Apart<AtomicU64>,
}

/// What one worker reports when it has stopped, or when it waits.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Row {
    /// All its sections, for the check of the counter.
    pub sections: AtomicU64,
    /// Those that ended while it counted.
    pub counted: AtomicU64,
    /// Processor time while it counted, in nanoseconds.
    pub cpu: AtomicU64,
    /// How often it slept while it counted.
    pub sleeps: AtomicU64,
    /// What all timed acquires, or sections with a share, took together, and the longest.
    pub total: AtomicU64,
    /// The longest of them.
    pub longest: AtomicU64,
    /// When it began to wait, and when it had the lock, if it waits once only; 0 if it has not.
    pub asked_at: AtomicU64,
    /// As `asked_at`.
    pub owned_at: AtomicU64,
    /// How long they took.
    pub waits: [AtomicU64; BUCKETS],
}

impl Board {
    /// What is to be done now.
    #[inline]
    pub(crate) fn state(&self) -> u32 {
        self.state.0.load(Relaxed) // only says when; what it goes by was there before the worker was started
    }

    /// Changes what is to be done, and wakes who waits for that.
    pub(crate) fn order(&self, state: u32) {
        self.state.0.store(state, Release); // partner: Acquire in `await_change`, and Relaxed in `state`
        let _ = wake(&self.state.0, Flags::empty(), i32::MAX.unsigned_abs()); // fails on a bad address only
    }

    /// Waits until there is something else to do than `state`.
    pub(crate) fn await_change(&self, state: u32) {
        while self.state.0.load(Acquire) == state {
            let _ = wait(&self.state.0, Flags::empty(), state, None); // errors are "changed" and "signal": look again
        }
    }

    /// Stays awake until `number` has come to be `value` or more.
    pub(crate) fn watch(number: &AtomicU64, value: u64) -> u64 {
        let mut looks = 0_u32;
        loop {
            let seen = number.load(Acquire); // partner: the Release in `tell`
            if seen >= value {
                return seen;
            }
            looks += 1;
            if looks < 10_000 {
                spin_loop();
            } else {
                thread::yield_now(); // who is to tell may need this very core
            }
        }
    }

    /// Says `value` to who watches for it.
    pub(crate) fn tell(number: &AtomicU64, value: u64) {
        number.store(value, Release); // partner: the Acquire in `watch`
    }

    /// Says that one more worker has come this far.
    pub(crate) fn arrive(&self) {
        self.arrived.0.fetch_add(1, AcqRel); // partner: Acquire in `await_arrivals`, which then reads the rows
        let _ = wake(&self.arrived.0, Flags::empty(), 1);
    }

    /// Waits until so many have arrived, but not longer than `bound`; says whether they have.
    pub(crate) fn await_arrivals(&self, all: u32, bound: Duration) -> bool {
        let bound = Timespec {
            tv_sec: i64::try_from(bound.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: bound.subsec_nanos().into(),
        };
        let seen = self.arrived.0.load(Acquire);
        if seen < all {
            let _ = wait(&self.arrived.0, Flags::empty(), seen, Some(&bound));
        }
        self.arrived.0.load(Acquire) >= all
    }
}
