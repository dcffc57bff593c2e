//! How long does a waiter sleep before it asks whether the owner still lives?
//!
//! While the count of acquisitions moves, one poll interval: whoever wakes by itself loses its
//! place among the sleepers, whom the kernel wakes in their order. While it stands still there is
//! one owner, who is at it for long, or dead, and no place to be lost: then one of the waiters, the
//! *watch*, asks much more often. So a death is noticed within a millisecond or two, for a fortieth
//! of a core (`docs/figures.md`), whatever the number of waiters. Who has chosen a long interval
//! has chosen few wakes: the watch sleeps in proportion to it.
//!
//! The watch is whoever holds the write lock on a byte that no token has. If it dies, the kernel
//! frees the byte. If it is stopped, or a child that it has forked meanwhile outlives it, the
//! others still ask once in an interval each.

use std::os::fd::AsFd;
use std::time::Duration;

use shmlock_core::Region;

use crate::layout::lock_bytes::PROBER;
use crate::sys::clock::BootInstant;
use crate::sys::descriptor::Descriptor;
use crate::sys::fork::ProcessGeneration;
use crate::sys::ofd::{self, Kind};

/// How long to sleep before the owner is held to be at it for long: this, or this part of the
/// interval if that is longer.
///
/// Who is woken while its own timer is the next of its core has the kernel set another one, before
/// it has the lock: 5 µs as the guest of a hypervisor. So the short sleeps do not begin at once.
const FIRST: Duration = Duration::from_millis(10);
const FIRST_PART: u32 = 5;

/// How long the watch sleeps: some forty times what waking and asking take, or this part of the
/// interval if that is longer. The parts are such that the default interval comes to just these
/// times.
const NAP: Duration = Duration::from_millis(1);
const NAP_PART: u32 = 50;

/// Who has waited long can bear to wait a little longer: the watch sleeps at least this part of the
/// time already waited.
const PART: u32 = 8000;

/// What one waiter knows about the owner's progress.
#[derive(Debug)]
pub(crate) struct ProbeSchedule<'a> {
    region: Region<'a>,
    probe: &'a Descriptor,
    birth: ProcessGeneration,
    since: BootInstant,
    /// The count of acquisitions when it was last looked at.
    count: u64,
    slept: bool,
    on_duty: bool,
}

impl<'a> ProbeSchedule<'a> {
    pub(crate) fn new(
        region: Region<'a>,
        probe: &'a Descriptor,
        birth: ProcessGeneration,
        since: BootInstant,
    ) -> Self {
        Self {
            region,
            probe,
            birth,
            since,
            count: region.fencing_token(),
            slept: false,
            on_duty: false,
        }
    }

    /// How long to sleep now, at most. To be asked once before each sleep.
    pub(super) fn next_sleep(&mut self, interval: Duration) -> Duration {
        // Partner: `count_acquisition` of whoever holds the lock, relaxed. Its halves may not fit:
        // a hint, by which only the length of a sleep is decided.
        let count = self.region.fencing_token();
        if count != self.count {
            self.count = count;
            self.slept = false;
            self.stand_down();
            return interval;
        }
        if !std::mem::replace(&mut self.slept, true) {
            return FIRST.max(interval / FIRST_PART).min(interval);
        }
        if interval <= NAP || !self.is_on_duty() {
            return interval;
        }
        NAP.max(interval / NAP_PART).max(self.since.elapsed() / PART).min(interval)
    }

    fn is_on_duty(&mut self) -> bool {
        // A failure means that somebody else is, or that locks cannot be had: then it goes by the
        // interval.
        let take = || {
            self.probe.is_itself()
                && ofd::try_lock(self.probe.as_fd(), Kind::Write, PROBER).unwrap_or(false)
        };
        self.on_duty = self.on_duty || take();
        self.on_duty
    }

    fn stand_down(&mut self) {
        // In a forked child the byte is the parent's.
        if std::mem::take(&mut self.on_duty) && self.birth.is_here() && self.probe.is_itself() {
            // Unlocking a range that the description holds cannot fail.
            let _ = ofd::unlock(self.probe.as_fd(), PROBER);
        }
    }
}

impl Drop for ProbeSchedule<'_> {
    fn drop(&mut self) {
        self.stand_down();
    }
}
