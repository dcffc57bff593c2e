//! Lets the only waiter of a process do without a watch thread, while two other processes watch.
//!
//! It sleeps for one tick at a time and looks at the lock itself. So nothing is opened or started
//! for its wait, and nothing has to be closed when its process ends. A wake that comes right after a
//! look may have been meant to recruit: then it sleeps for a moment only, and looks again.
//!
//! A waiter that times out re-enters the futex queue at the tail. So this ends a few ticks after
//! the lock has changed hands for the first time: from then on the waiter has a thread, and keeps
//! its place.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crate::layout::lock_bytes::WATCHERS;
use crate::shm::attach::Attachment;
use crate::sys::clock::BootInstant;
use crate::sys::fork::ProcessGeneration;
use crate::sys::ofd;
use crate::watch::hub::{HUB, Hub};
use crate::watch::registration::has_memory;
use crate::watch::thread::TICK;

/// For how many ticks a waiter does without a thread while the lock changes hands. Arbitrary: so
/// long that the start of a thread does not count beside the wait, and so short that a place lost
/// at each tick is soon regained. The drain of a crowd (`--figures D` of `bench/comparison`) would
/// change it.
const TICKS: u32 = 5;

/// How far apart two looks at the slots are, if a waiter is woken often while the lock changes
/// hands. Arbitrary: so rare that they cost nothing.
const PAUSE: Duration = Duration::from_millis(10);

/// A waiter without a watch thread: there is at most one in a process. A second waiter of the
/// process starts the thread. This one then registers with it at its next look at the slots.
#[derive(Debug)]
pub(crate) struct Lone {
    hub: &'static Hub,
    /// The process in which it waits.
    birth: ProcessGeneration,
    tick: Duration,
    /// The count of acquisitions when it began.
    count: u64,
    /// When the lock still had that count.
    since: BootInstant,
    looked_at: BootInstant,
    /// How long it sleeps next.
    sleep: Duration,
    /// The slot to look at next.
    slot: usize,
}

impl Lone {
    /// Begins to wait without a thread, if no other waiter of this process waits like this, there
    /// is no thread, and two other processes watch the lock. `count` is the number of acquisitions
    /// so far.
    pub(crate) fn begin(shared: &Attachment, interval: Duration, count: u64) -> Option<Self> {
        if !has_memory() {
            return None;
        }
        let hub = HUB.get_or_make(Hub::default);
        // Partner: the drop, and the same by others. Relaxed: it orders no other memory.
        if hub.has_lone.swap(true, Relaxed) {
            return None;
        }
        let (now, birth) = (BootInstant::now(), ProcessGeneration::here());
        let tick = interval.max(TICK);
        let lone =
            Self { hub, birth, tick, count, since: now, looked_at: now, sleep: tick, slot: 0 };
        lone.is_watched(shared, &WATCHERS).then_some(lone)
    }

    /// Returns how long the waiter sleeps: one tick, or until it may look at the slots.
    pub(crate) fn sleep(&self) -> Duration {
        self.sleep
    }

    /// Returns `true` if the waiter may sleep once more. Looks at the slots, but seldom, unless
    /// `is_urgent`: the waiter was woken, and the lock had not changed hands.
    pub(crate) fn goes_on(&mut self, shared: &Attachment, count: u64, is_urgent: bool) -> bool {
        let now = BootInstant::now();
        let pause = now.since(self.looked_at);
        if !is_urgent && pause < PAUSE {
            self.sleep = PAUSE.saturating_sub(pause); // the wake may have been meant to recruit
            return true;
        }
        (self.looked_at, self.sleep) = (now, self.tick);
        self.slot ^= 1;
        // Most often at one slot only: the kernel searches the locks of all waiters for it.
        let slots = if is_urgent || pause < self.tick {
            &WATCHERS[..]
        } else {
            &WATCHERS[self.slot..][..1]
        };
        if count == self.count {
            self.since = now;
        }
        now.since(self.since) < self.tick.saturating_mul(TICKS) && self.is_watched(shared, slots)
    }

    /// Returns `true` if this process has no thread, and others have these slots.
    fn is_watched(&self, shared: &Attachment, slots: &[u32]) -> bool {
        let is_taken = |&byte: &u32| ofd::is_locked(shared.probe().as_fd(), byte) == Ok(true);
        // Last, whether the descriptor is itself: otherwise the answers are about another file.
        !self.hub.has_thread() && slots.iter().all(is_taken) && shared.probe().is_itself()
    }
}

impl Drop for Lone {
    fn drop(&mut self) {
        // A forked child has a hub of its own, and leaves this one alone.
        if self.birth.is_here() {
            self.hub.has_lone.store(false, Relaxed); // partner: `begin`
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Lone, PAUSE};
    use crate::ShmLock;
    use crate::sys::clock::BootInstant;
    use crate::sys::fork::ProcessGeneration;
    use crate::sys::per_process::PerProcess;
    use crate::watch::hub::Hub;

    /// A hub without a thread, whatever other tests of this process do.
    static HUB: PerProcess<Hub> = PerProcess::new();

    #[test]
    fn a_waiter_that_is_woken_right_after_a_look_looks_again_soon() {
        let name = format!("test-lone-{}", std::process::id());
        let lock = ShmLock::open(&name).expect("opens");
        let tick = Duration::from_secs(3600);
        let now = BootInstant::now();
        let mut lone = Lone {
            hub: HUB.get_or_make(Hub::default),
            birth: ProcessGeneration::here(),
            tick,
            count: 0,
            since: now,
            looked_at: now,
            sleep: tick,
            slot: 0,
        };
        // No process has a slot, and the lock has changed hands.
        let goes_on = lone.goes_on(&lock.shared, 1, false);
        assert!(!goes_on || lone.sleep() <= PAUSE, "it sleeps for {:?}", lone.sleep());
    }
}
