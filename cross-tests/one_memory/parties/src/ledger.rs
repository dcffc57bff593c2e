//! Provides the data under the lock: a plain counter, and each party's own count.
//!
//! A critical section writes its intent, the party, then two words: the counter, and the party's
//! count. A party that dies leaves them equal, or apart by one. The intent names the party whose
//! critical section was cut; the next owner completes it. So no death loses a count, and none adds
//! one.

use core::hint;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::Relaxed;

use shmlock_core::Fence;
use shmlock_core::fence::FullSystem;

use crate::party::Party;

const PARTIES: usize = Party::ALL.len();

/// No party is in its critical section.
const NONE: u32 = 0;

/// The counters. Every access is a relaxed load or store, which compiles to a plain access: two
/// parties in the critical section lose counts. The lock's fences order them.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub struct Ledger {
    /// The critical sections of all parties.
    total: AtomicU32,
    /// The slot of the party in its critical section, or [`NONE`].
    inside: AtomicU32,
    /// The critical sections of each party.
    counts: [AtomicU32; PARTIES],
    /// Critical sections that met another party inside, and repairs that found counts that no death
    /// can leave.
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
    /// A party counts in the total first, so the sum of the parties' counts is never greater. The
    /// sum is read first: the total only grows.
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
        // Partner: the stores of the parties. Ordered by the lock if the caller holds it; relaxed
        // otherwise, for a look.
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
    // Partner: the same by other parties, ordered by the lock under test. Relaxed: plain accesses.
    word.store(word.load(Relaxed).wrapping_add(1), Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a ledger on which core 0 has counted twice and died in its third critical section,
    /// after this many of the stores in `count`.
    fn cut_after(stores: u32) -> Ledger {
        let ledger = Ledger::default();
        ledger.count(Party::Core0, 0);
        ledger.count(Party::Core0, 0);
        let me = Party::Core0;
        let intent = || ledger.inside.store(me.slot().get().into(), Relaxed);
        let steps: [&dyn Fn(); 4] =
            [&intent, &|| add_one(&ledger.total), &|| add_one(&ledger.counts[me.index()]), &|| {
                ledger.inside.store(NONE, Relaxed);
            }];
        steps.iter().take(stores as usize).for_each(|step| step());
        ledger
    }

    #[test]
    fn a_critical_section_that_was_cut_anywhere_counts_once_or_not_at_all() {
        for stores in 0..=4 {
            let ledger = cut_after(stores);
            ledger.repair(Party::Linux);
            let audit = ledger.audit();
            let counted = if stores < 2 { 2 } else { 3 };
            assert_eq!((audit.total, audit.counts), (counted, [0, counted, 0]), "{stores}");
            assert_eq!(audit.completed, u32::from(stores == 2));
            assert_eq!((ledger.inside(), audit.violations), (None, 0));
            let was_inside = u32::from((1..=3).contains(&stores));
            assert_eq!(audit.recoveries_of(Party::Core0, Party::Linux), was_inside);
            ledger.count(Party::Core1, 0);
            assert_eq!(ledger.audit().violations, 0);
        }
    }

    #[test]
    fn a_repair_that_was_cut_is_done_again() {
        let ledger = cut_after(2);
        add_one(&ledger.counts[Party::Core0.index()]); // the first store of a repair
        ledger.repair(Party::Linux);
        let audit = ledger.audit();
        assert_eq!((audit.total, audit.sum(), audit.violations), (3, 3, 0));
    }

    #[test]
    fn what_no_death_can_leave_is_a_violation() {
        let without_intent = cut_after(0);
        add_one(&without_intent.total);
        let two_apart = cut_after(2);
        add_one(&two_apart.total);
        for ledger in [without_intent, two_apart] {
            ledger.repair(Party::Linux);
            assert_eq!(ledger.audit().violations, 1);
        }
    }

    #[test]
    fn two_parties_inside_are_seen_and_a_lost_count_is_found() {
        let ledger = cut_after(1); // core 0 is inside, and lives
        assert!(!ledger.has_lost());
        ledger.count(Party::Linux, 0);
        assert_eq!(ledger.audit().violations, 1);
        ledger.total.store(2, Relaxed); // core 0 stores what it read before
        assert!(ledger.has_lost());
    }
}
