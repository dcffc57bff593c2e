//! Counts what the workers of a seat have done.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// The number of counts.
const KINDS: usize = 18;

/// The counts of one seat.
#[repr(C)]
pub(crate) struct Tally {
    counts: [AtomicU64; KINDS],
    /// The longest wait that acquired the lock, in nanoseconds.
    longest: AtomicU64,
    /// The latest return after a timeout, in nanoseconds.
    latest: AtomicU64,
}

/// The kind of a count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Count {
    Acquired,
    Contended,
    TimedOut,
    TryFailed,
    Cancelled,
    Poisoned,
    Opened,
    Closed,
    NoToken,
    Looked,
    Forked,
    Hindered,
    Recalled,
    Threads,
    HandedOver,
    Execed,
    Leaked,
    Ended,
}

impl Count {
    pub(crate) const ALL: [(Self, &str); 18] = [
        (Self::Acquired, "acquisitions"),
        (Self::Contended, "contended"),
        (Self::TimedOut, "timed out"),
        (Self::TryFailed, "tries failed"),
        (Self::Cancelled, "cancelled"),
        (Self::Poisoned, "refused after a death"),
        (Self::Opened, "opens"),
        (Self::Closed, "closes"),
        (Self::NoToken, "opens without a free token"),
        (Self::Looked, "inspections"),
        (Self::Forked, "forks"),
        (Self::Hindered, "children hindered by the kernel"),
        (Self::Recalled, "waiters called back right after a release"),
        (Self::Threads, "threads"),
        (Self::HandedOver, "hand-overs between threads"),
        (Self::Execed, "execs"),
        (Self::Leaked, "leaked guards"),
        (Self::Ended, "processes that came to their end"),
    ];
}

impl Tally {
    pub(crate) fn count(&self, what: Count) {
        self.counts[what as usize].fetch_add(1, Relaxed);
    }

    pub(crate) fn of(&self, what: Count) -> u64 {
        self.counts[what as usize].load(Relaxed)
    }

    pub(crate) fn waited(&self, nanos: u64) {
        self.longest.fetch_max(nanos, Relaxed);
    }

    pub(crate) fn was_late(&self, nanos: u64) {
        self.latest.fetch_max(nanos, Relaxed);
    }

    pub(crate) fn longest(&self) -> u64 {
        self.longest.load(Relaxed)
    }

    pub(crate) fn latest(&self) -> u64 {
        self.latest.load(Relaxed)
    }
}
