//! Provides the data under the lock: a plain counter, and each party's own count.
//!
//! A critical section writes its intent, the party, then two words: the counter, and the party's
//! count. A party that dies leaves them equal, or apart by one. The next owner sees by the intent
//! whose section was cut, and completes it. So no death loses a count, and none adds one.

use core::hint;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::Relaxed;

use shmlock_core::Fence;
use shmlock_core::fence::FullSystem;

use crate::memory::Party;

const PARTIES: usize = Party::ALL.len();

/// No party is in its critical section.
const NONE: u32 = 0;

/// The counters. Every access is a relaxed load or store, which compiles to a plain access: two
/// parties in the critical section lose counts. The lock's fences order them.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Ledger {
    /// The critical sections of all parties.
    total: AtomicU32,
    /// The slot of the party in its critical section, or [`NONE`].
    inside: AtomicU32,
    /// The critical sections of each party.
    counts: [AtomicU32; PARTIES],
    /// Critical sections that met another party inside, and repairs that found what no death can
    /// leave.
    violations: AtomicU32,
    /// The calls of the lock that failed.
    errors: AtomicU32,
    /// Critical sections that a death cut between the two counters.
    completed: AtomicU32,
    /// By the recovering party and the intent found: none, or a party.
    recoveries: [[AtomicU32; PARTIES + 1]; PARTIES],
}

/// The state of a ledger, read while no party is in its critical section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audit {
    /// The critical sections of all parties.
    pub total: u32,
    /// The critical sections of each party.
    pub counts: [u32; PARTIES],
    /// Critical sections that met another party inside.
    pub violations: u32,
    /// The calls of the lock that failed.
    pub errors: u32,
    /// Critical sections that a death cut between the two counters.
    pub completed: u32,
    /// By the recovering party and the intent found: none, or a party.
    pub recoveries: [[u32; PARTIES + 1]; PARTIES],
}

impl Audit {
    /// Returns the sum of the parties' counts.
    #[must_use]
    pub fn sum(&self) -> u32 {
        self.counts.iter().fold(0, |sum, count| sum.wrapping_add(*count))
    }

    /// Returns how often one party recovered the lock and found the other's intent.
    #[must_use]
    pub fn recoveries_of(&self, dead: Party, by: Party) -> u32 {
        self.recoveries[by.index()][dead.index() + 1]
    }
}

impl Ledger {
    /// Counts one critical section of a party that holds the lock. With `pauses`, most deaths hit
    /// it between the two counters.
    ///
    /// The fences order the stores for a recovering party: a core that is reset loses stores that
    /// have not left it, and later ones may have left before.
    #[inline(never)]
    pub fn count(&self, me: Party, pauses: u32) {
        let slot = u32::from(me.slot().get());
        self.check(self.inside.load(Relaxed) == NONE);
        self.inside.store(slot, Relaxed);
        FullSystem.release(); // pairs with the proof of our death: the intent before the counters
        add_one(&self.total);
        (0..pauses).for_each(|_| hint::spin_loop());
        FullSystem.release(); // as above: the counter before our own count
        add_one(&self.counts[me.index()]);
        FullSystem.release(); // as above: both counts before the end of the intent
        self.check(self.inside.load(Relaxed) == slot);
        self.inside.store(NONE, Relaxed);
    }

    /// Completes the critical section that a dead owner left. May itself be cut at any point, and
    /// repeated by the next owner.
    pub fn repair(&self, me: Party) {
        let dead = self.inside();
        let audit = self.audit();
        match (audit.total.wrapping_sub(audit.sum()), dead) {
            (0, _) => {}
            (1, Some(dead)) => {
                add_one(&self.counts[dead.index()]);
                add_one(&self.completed);
            }
            _ => add_one(&self.violations),
        }
        add_one(&self.recoveries[me.index()][dead.map_or(0, |dead| dead.index() + 1)]);
        FullSystem.release(); // as in `count`: the repair before the end of the intent
        self.inside.store(NONE, Relaxed);
    }

    /// Returns the party in its critical section, for a look without the lock.
    #[must_use]
    pub fn inside(&self) -> Option<Party> {
        // Partner: `count`. Relaxed: a look that orders nothing.
        Party::ALL.get((self.inside.load(Relaxed) as usize).wrapping_sub(1)).copied()
    }

    /// Counts a call of the lock that failed.
    pub fn note_error(&self) {
        add_one(&self.errors);
    }

    /// Returns `true` if counts have been lost, at any moment of a run.
    ///
    /// A party counts in the total first, so the sum of their counts is never greater. It is read
    /// first: the total only grows.
    #[must_use]
    pub fn has_lost(&self) -> bool {
        let sum = self.audit().sum();
        FullSystem.acquire(); // pairs with the fences in `count`: the total is read after the sum
        // Half the range: both wrap.
        self.total.load(Relaxed).wrapping_sub(sum) > u32::MAX / 2
    }

    /// Returns all counters. Exact only while no party is in its critical section.
    #[must_use]
    pub fn audit(&self) -> Audit {
        let read = |word: &AtomicU32| word.load(Relaxed);
        Audit {
            total: read(&self.total),
            counts: self.counts.each_ref().map(read),
            violations: read(&self.violations),
            errors: read(&self.errors),
            completed: read(&self.completed),
            recoveries: self.recoveries.each_ref().map(|row| row.each_ref().map(read)),
        }
    }

    fn check(&self, holds: bool) {
        if !holds {
            add_one(&self.violations);
        }
    }
}

/// Adds one by a load and a store, not atomically on purpose.
fn add_one(word: &AtomicU32) {
    word.store(word.load(Relaxed).wrapping_add(1), Relaxed);
}
