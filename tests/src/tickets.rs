//! Provides a ticket lock in memory that several processes share, and data that it protects.

#![allow(unsafe_code, reason = "implements a trait for types of atomics")]

use std::num::NonZeroU16;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use shmlock_core::contend::Liveness;
use shmlock_core::fence::Fence;
use shmlock_core::wait::{Wait, WaitAction, WaitContext};
use shmlock_core::{TicketLock, TicketMemory, TicketRegion};

use crate::shared::Words;

/// The parties of the lock.
pub const PARTIES: usize = 3;

/// How long parties visit the critical section at most. The lock goes from one process to the next
/// at each visit, so that on a busy machine a visit costs each of them a turn of all that run.
const TIME: Duration = Duration::from_secs(20);

/// The lock, and two counters that are equal outside a critical section.
#[repr(C)]
#[derive(Debug, Default)]
pub struct Tickets {
    memory: TicketMemory<PARTIES>,
    counter: AtomicU64,
    shadow: AtomicU64,
    /// The critical sections that each party has finished, as it counts them itself.
    pub visits: [AtomicU64; PARTIES],
    /// The repairs after a death.
    pub repairs: AtomicU64,
    /// Not 0 once the parties are to end.
    over: AtomicU64,
}

// SAFETY: atomics and padding only.
unsafe impl Words for Tickets {}

/// Lets others run, and probes after each failed attempt. It never gives up.
#[derive(Clone, Copy, Debug)]
pub struct Yield;

impl Wait for Yield {
    fn wait(&mut self, _context: &mut WaitContext<'_>) -> WaitAction {
        thread::yield_now();
        WaitAction::Probe
    }
}

impl Tickets {
    /// Returns the lock.
    ///
    /// # Panics
    /// If the memory holds something else.
    #[must_use]
    pub fn region(&self) -> TicketRegion<'_, PARTIES> {
        TicketRegion::new(&self.memory).expect("a ticket lock, or nothing yet")
    }

    /// Returns a party.
    ///
    /// # Panics
    /// If there is no such party.
    #[must_use]
    pub fn party(&self, number: u16) -> TicketLock<'_, PARTIES> {
        let number = NonZeroU16::new(number).expect("counted from 1");
        TicketLock::new(self.region(), number).expect("one of the parties")
    }

    /// Visits the critical section once: repairs the data after a death, and counts.
    ///
    /// # Panics
    /// If the data is torn without a reported death.
    pub fn visit(&self, lock: &TicketLock<'_, PARTIES, impl Fence>, liveness: &mut impl Liveness) {
        let guard = lock.lock_or_recover(&mut Yield, liveness).expect("it does not give up");
        // Partner: the stores below by the owner before, ordered by the lock.
        let counter = self.counter.load(Relaxed);
        if guard.owner_died() {
            self.shadow.store(counter, Relaxed);
            self.repairs.store(self.repairs.load(Relaxed) + 1, Relaxed);
            guard.declare_consistent().expect("held");
        }
        assert_eq!(self.shadow.load(Relaxed), counter, "two owners, or an unreported death");
        // Partner: the visits of others, ordered by the lock. Relaxed loads and stores, so that a
        // second owner loses a count.
        self.counter.store(counter + 1, Relaxed);
        thread::yield_now();
        self.shadow.store(counter + 1, Relaxed);
        let visits = &self.visits[usize::try_from(lock.token().get()).expect("small") - 1];
        visits.store(visits.load(Relaxed) + 1, Relaxed);
    }

    /// Tells the parties to end if the time since `begin` is over. Returns `true` if they are to
    /// end, because it was over for this party or for another.
    #[must_use]
    pub fn end_in_time(&self, begin: Instant) -> bool {
        // Partner: the same of others. Relaxed: it orders nothing.
        if begin.elapsed() >= TIME {
            self.over.store(1, Relaxed);
        }
        self.over.load(Relaxed) != 0
    }

    /// Returns the counter. Exact when no party is inside.
    #[must_use]
    pub fn counted(&self) -> u64 {
        self.counter.load(Relaxed)
    }

    /// Returns the visits of all parties.
    #[must_use]
    pub fn visited(&self) -> u64 {
        self.visits.iter().map(|visits| visits.load(Relaxed)).sum()
    }
}
