//! The critical section that every figure measures, and the times of the waits for it.

use std::sync::atomic::Ordering::Relaxed;

use shmlock_bench_support::histogram::{BUCKETS, bucket_of};

use crate::board::{Board, Row};
use crate::work::work;

/// Increments the counter in two steps, which lose a count if two processes interleave them.
#[inline]
pub(crate) fn critical_section(board: &Board, turns: u64) {
    let counter = &board.counter.0;
    let seen = counter.load(Relaxed); // both relaxed: only the lock orders them
    work(turns);
    counter.store(seen + 1, Relaxed);
}

/// Measured times, in private memory until the report, so that recording one disturbs no process.
pub(crate) struct Waits {
    counts: Vec<u64>,
    total: u64,
    longest: u64,
}

impl Waits {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, longest: 0 }
    }

    pub(crate) fn note(&mut self, wait: u64) {
        self.counts[bucket_of(wait).min(BUCKETS - 1)] += 1;
        self.total += wait;
        self.longest = self.longest.max(wait);
    }

    /// Copies the times to the row. Relaxed: the arrival that follows makes them visible.
    pub(crate) fn report(&self, row: &Row) {
        for (shared, count) in row.waits.iter().zip(&self.counts) {
            shared.store(*count, Relaxed);
        }
        row.total.store(self.total, Relaxed);
        row.longest.store(self.longest, Relaxed);
    }
}
