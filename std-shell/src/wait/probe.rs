//! Schedules the probes: how long a waiter sleeps before it asks whether the owner is alive.
//!
//! While the count of acquisitions moves, a waiter sleeps one poll interval. A waiter that times
//! out re-enters the futex queue at the tail, so more sleeps would cost it its place.
//!
//! While the count stands still there is one owner, which is in a long critical section or dead,
//! and no place to lose. Then one of the waiters, the *prober*, asks much more often, so that a
//! death is noticed soon, whatever the number of waiters (`docs/figures.md`). The first sleep of a
//! waiter lasts 10 ms, or a fifth of its poll interval if that is longer. From then on the prober
//! sleeps 1 ms, or a fiftieth of its interval, and more after 8 s of waiting.
//!
//! The prober is the waiter that holds the write lock on a byte that belongs to no token. If it
//! dies, the kernel unlocks the byte. If it is stopped, or a child that it has forked meanwhile
//! outlives it, the others still ask once in an interval each.

use std::os::fd::AsFd;
use std::time::Duration;

use shmlock_core::Region;

use crate::layout::lock_bytes::PROBER;
use crate::sys::clock::BootInstant;
use crate::sys::descriptor::Descriptor;
use crate::sys::fork::ProcessGeneration;
use crate::sys::ofd::{self, Kind};
use crate::wait::tuning::{
    PROBE_DELAY, PROBE_DELAY_PART, PROBE_INTERVAL, PROBE_INTERVAL_PART, PROBE_WAITED_PART,
};

/// What one waiter knows about the owner's progress.
#[derive(Debug)]
pub(crate) struct ProbeSchedule<'a> {
    region: Region<'a>,
    probe: &'a Descriptor,
    birth: ProcessGeneration,
    since: BootInstant,
    /// The count of acquisitions, when it was last read.
    count: u64,
    /// It has slept once since the count last moved.
    has_slept: bool,
    /// It holds the prober's byte.
    is_prober: bool,
}

impl<'a> ProbeSchedule<'a> {
    #[inline]
    pub(crate) fn new(
        region: Region<'a>,
        probe: &'a Descriptor,
        birth: ProcessGeneration,
        since: BootInstant,
    ) -> Self {
        let count = region.fencing_token();
        Self { region, probe, birth, since, count, has_slept: false, is_prober: false }
    }

    /// Returns how long to sleep now, at most. The caller asks once before each sleep.
    pub(super) fn next_sleep(&mut self, interval: Duration) -> Duration {
        // Partner: the owner's `count_acquisition`, relaxed. Its halves may not fit: a hint, which
        // decides only how long a sleep is.
        let count = self.region.fencing_token();
        if count != self.count {
            self.count = count;
            self.has_slept = false;
            self.resign();
            return interval;
        }
        if !std::mem::replace(&mut self.has_slept, true) {
            return PROBE_DELAY.max(interval / PROBE_DELAY_PART).min(interval);
        }
        if interval <= PROBE_INTERVAL || !self.become_prober() {
            return interval;
        }
        let waited = self.since.elapsed();
        PROBE_INTERVAL
            .max(interval / PROBE_INTERVAL_PART)
            .max(waited / PROBE_WAITED_PART)
            .min(interval)
    }

    /// Tries to become the prober. Returns `true` if this waiter is the prober then.
    fn become_prober(&mut self) -> bool {
        // If the byte cannot be locked, another waiter is the prober, or there are no byte locks.
        let lock_byte = || {
            self.probe.is_itself()
                && ofd::try_lock(self.probe.as_fd(), Kind::Write, PROBER).unwrap_or(false)
        };
        self.is_prober = self.is_prober || lock_byte();
        self.is_prober
    }

    /// Stops being the prober.
    fn resign(&mut self) {
        // In a forked child the byte is the parent's.
        if std::mem::take(&mut self.is_prober) && self.birth.is_here() && self.probe.is_itself() {
            // Unlocking a range that the description holds cannot fail.
            let _ = ofd::unlock(self.probe.as_fd(), PROBER);
        }
    }
}

impl Drop for ProbeSchedule<'_> {
    fn drop(&mut self) {
        self.resign();
    }
}
