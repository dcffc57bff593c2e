//! Keeps what the waiters of one file and the watch thread know of each other.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::time::Duration;

use crate::shm::file::FileSpec;
use crate::sys::clock::BootInstant;
use crate::sys::file_id::FileId;

/// Whether a waiter of a file can rely on being woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cover {
    /// Not yet: the thread has not seen the registration.
    Pending,
    /// This process watches the file, or two others do.
    Covered,
    /// The thread cannot watch it.
    Refused,
}

/// How far apart the questions for a slot are of waiters that were woken while the lock changes
/// hands. Arbitrary: so rare that they cost nothing.
const MILLIS_BETWEEN_ASKS: u32 = 10;

const PENDING: u32 = 0;
const COVERED: u32 = 1;
const REFUSED: u32 = 2;

/// A file that waiters of this process have registered.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) file: FileId,
    pub(super) place: FileSpec,
    /// The shortest poll interval of its waiters, in nanoseconds.
    interval: AtomicU64,
    /// The waits that are registered now.
    waits: AtomicU32,
    /// A wait was registered since the thread last asked.
    is_used: AtomicBool,
    cover: AtomicU32,
    has_slot: AtomicBool,
    /// A waiter was woken for nothing: there may be a free slot.
    wants_slot: AtomicBool,
    /// When the thread was last asked, in milliseconds.
    asked_at: AtomicU32,
}

impl Watched {
    pub(super) fn new(file: FileId, place: FileSpec) -> Self {
        Self {
            file,
            place,
            interval: AtomicU64::new(u64::MAX),
            waits: AtomicU32::new(0),
            is_used: AtomicBool::new(false),
            cover: AtomicU32::new(PENDING),
            has_slot: AtomicBool::new(false),
            wants_slot: AtomicBool::new(false),
            asked_at: AtomicU32::new(0),
        }
    }

    pub(super) fn cover(&self) -> Cover {
        match self.cover.load(Acquire) {
            COVERED => Cover::Covered,
            REFUSED => Cover::Refused,
            _ => Cover::Pending,
        }
    }

    pub(super) fn set_cover(&self, cover: Cover) {
        let cover = match cover {
            Cover::Pending => PENDING,
            Cover::Covered => COVERED,
            Cover::Refused => REFUSED,
        };
        // Partner: the load in `cover`. The slot and the watch are there before it.
        self.cover.store(cover, Release);
    }

    pub(super) fn set_slot(&self, has_slot: bool) {
        self.has_slot.store(has_slot, Relaxed); // partner: `ask_for_slot`; a hint
    }

    pub(super) fn interval(&self) -> Duration {
        Duration::from_nanos(self.interval.load(Relaxed)) // partner: `begin_wait`; a hint
    }

    /// Returns `true` if no wait is registered, nor was since the last call.
    pub(super) fn is_idle(&self) -> bool {
        // Partners: `begin_wait`, the drop of a registration. Under the hub's mutex, which orders
        // the former.
        !self.is_used.swap(false, Relaxed) && self.waits.load(Acquire) == 0
    }

    pub(super) fn waits(&self) -> u32 {
        self.waits.load(Relaxed) // a hint
    }

    /// Ends a wait. The thread sees that when it next wakes.
    pub(super) fn end_wait(&self) {
        self.waits.fetch_sub(1, AcqRel); // partner: `is_idle`
    }

    /// Counts a wait. Under the hub's mutex.
    pub(super) fn begin_wait(&self, interval: Duration) {
        let nanos = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        self.interval.fetch_min(nanos, Relaxed); // partner: `interval`
        self.is_used.store(true, Relaxed); // partner: `is_idle`
        self.waits.fetch_add(1, AcqRel); // partner: `is_idle`
    }

    /// Returns `true` if a waiter has asked for a slot since the last call.
    pub(super) fn wants_slot(&self) -> bool {
        // Partner: `ask_for_slot`, which then rings.
        self.wants_slot.load(Relaxed) && self.wants_slot.swap(false, Relaxed)
    }

    /// Asks for a slot; returns `true` if the thread is to be told now. Otherwise it sees that when
    /// it next wakes.
    #[allow(clippy::cast_possible_truncation, reason = "only differences count")]
    pub(super) fn ask_for_slot(&self, is_urgent: bool) -> bool {
        // Partners: `set_slot`, `wants_slot`. Relaxed: the bell orders, and the tick forgets none.
        if self.has_slot.load(Relaxed) {
            return false;
        }
        self.wants_slot.store(true, Relaxed);
        // In milliseconds; it may wrap. Partner: the same on another thread; either one will do.
        let now = BootInstant::now().since_boot().as_millis() as u32;
        let is_rare = now.wrapping_sub(self.asked_at.load(Relaxed)) >= MILLIS_BETWEEN_ASKS;
        if !is_urgent && !is_rare {
            return false;
        }
        self.asked_at.store(now, Relaxed);
        true
    }
}
