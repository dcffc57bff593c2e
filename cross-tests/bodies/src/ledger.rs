//! Provides the protected data: words that become inconsistent if two members are in the critical
//! section.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::Relaxed;

/// A counter, and a pair of words that are equal outside the critical section.
///
/// Every access is a relaxed load or store, which ARM compiles like a plain access. No addition is
/// atomic, so two members in the critical section lose counts, and the broken lock's races are not
/// undefined behaviour.
#[derive(Debug)]
pub(crate) struct Ledger {
    visits: AtomicU32,
    left: AtomicU32,
    right: AtomicU32,
    torn: AtomicU32,
    /// The fencing token of the last visit, low and high half.
    last: [AtomicU32; 2],
}

/// The result of all visits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) visits: u32,
    pub(crate) torn: bool,
}

impl Ledger {
    pub(crate) const fn new() -> Self {
        #[expect(clippy::declare_interior_mutable_const, reason = "only copied into new places")]
        const ZERO: AtomicU32 = AtomicU32::new(0);
        Self { visits: ZERO, left: ZERO, right: ZERO, torn: ZERO, last: [ZERO; 2] }
    }

    // Relaxed throughout. Partner: the same accesses by the previous owner, which the lock's fences
    // make visible.

    pub(crate) fn clear(&self) {
        for word in
            [&self.visits, &self.left, &self.right, &self.torn].into_iter().chain(&self.last)
        {
            word.store(0, Relaxed);
        }
    }

    /// Counts a visit, by separate accesses on purpose.
    #[inline(never)]
    pub(crate) fn visit(&self, me: u32) {
        if self.left.load(Relaxed) != self.right.load(Relaxed) {
            self.torn.store(1, Relaxed);
        }
        self.left.store(me, Relaxed);
        let visits = self.visits.load(Relaxed);
        self.visits.store(visits.wrapping_add(1), Relaxed);
        self.right.store(me, Relaxed);
    }

    /// Replaces the fencing token of the last visit, and returns the previous one.
    pub(crate) fn replace_last(&self, token: u64) -> u64 {
        let [low, high] = &self.last;
        let before = u64::from(high.load(Relaxed)) << 32 | u64::from(low.load(Relaxed));
        #[allow(clippy::cast_possible_truncation, reason = "the two halves")]
        {
            low.store(token as u32, Relaxed);
            high.store((token >> 32) as u32, Relaxed);
        }
        before
    }

    /// Returns the tally. Valid only while the lock is free.
    pub(crate) fn tally(&self) -> Tally {
        Tally { visits: self.visits.load(Relaxed), torn: self.torn.load(Relaxed) != 0 }
    }
}
