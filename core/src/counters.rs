//! Counts the acquisitions, the contended ones among them, and the recoveries of a lock.
//!
//! An acquisition that does not wait writes nothing but the generation, which is the
//! [fencing token](Region::fencing_token) as well.

use crate::fence::Fence;
use crate::region::{READ_ATTEMPTS, Region};
use crate::sync::Relaxed;

impl Region<'_> {
    /// Counts an acquisition. Only the owner calls it, right after it has acquired the word.
    ///
    /// The count is the [fencing token](Self::fencing_token): it grows with every acquisition and
    /// never repeats. Its high half is stored first. *If we die between the two stores:* numbers
    /// are skipped, and the count never goes back.
    ///
    /// Returns the low half.
    #[inline]
    pub fn count_acquisition<F: Fence>(self, fence: F) -> u32 {
        let words = self.words();
        // Partner: the stores here by the previous owner, ordered by the fences of the owner word.
        // Relaxed throughout.
        let low = words.generation.load(Relaxed).wrapping_add(1);
        if low == 0 {
            let high = words.generation_high.load(Relaxed).wrapping_add(1);
            words.generation_high.store(high, Relaxed);
            fence.release(); // a recovery that sees the new low half sees the high half, too
        }
        words.generation.store(low, Relaxed);
        low
    }

    /// Counts an acquisition as [`count_acquisition`](Self::count_acquisition) does, and returns
    /// the new low half. `None`, and nothing is stored, if the low half is not `previous`, or if
    /// the high half would change. So the answer to `u32::MAX` is always `None`.
    #[inline]
    pub(crate) fn count_next_acquisition(self, previous: u32) -> Option<u32> {
        let generation = &self.words().generation;
        // Partner: as in `count_acquisition`. Relaxed.
        let others_counted = generation.load(Relaxed) != previous;
        let (low, wraps) = previous.overflowing_add(1);
        if others_counted | wraps {
            return None;
        }
        generation.store(low, Relaxed);
        Some(low)
    }

    /// Returns the fencing token of the present hold.
    ///
    /// Exact for the owner. To any other caller the two halves may be of different acquisitions:
    /// [`acquisitions`](Self::acquisitions) is for them, unless only a change matters.
    #[must_use]
    #[inline]
    pub fn fencing_token(self) -> u64 {
        let words = self.words();
        // Partner: `count_acquisition` by the owner, which is this thread if the number matters; a
        // look from outside (`TicketRegion::look_for_death`) only compares two of them. Relaxed.
        let high = u64::from(words.generation_high.load(Relaxed));
        high << 32 | u64::from(words.generation.load(Relaxed))
    }

    /// Returns how often the lock has been acquired. Any caller, at any time.
    #[must_use]
    #[inline]
    pub fn acquisitions(self) -> u64 {
        let words = self.words();
        // Partner: `count_acquisition`, throughout. Relaxed: a statistic. The high half is stored
        // first, so a low half between two equal high halves belongs to them, except between the
        // two stores.
        let mut high = words.generation_high.load(Relaxed);
        for _ in 0..READ_ATTEMPTS {
            let low = words.generation.load(Relaxed);
            let again = words.generation_high.load(Relaxed);
            if again == high {
                return u64::from(high) << 32 | u64::from(low);
            }
            high = again;
        }
        u64::from(high) << 32
    }

    /// Counts an acquisition that found the lock held by another. Only the owner calls it, before
    /// its critical section begins.
    ///
    /// *If we die before:* one is missing.
    #[inline]
    pub fn count_contended(self) {
        let contended = &self.words().contended;
        // Partner: the same by the previous owner, ordered by the fences of the owner word.
        // Relaxed, and therefore no addition by one instruction.
        contended.store(contended.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// Returns how many acquisitions found the lock held by another, modulo 2^32. Any caller, at
    /// any time.
    #[must_use]
    pub fn contended(self) -> u32 {
        // Partner: `count_contended`. Relaxed: a statistic.
        self.words().contended.load(Relaxed)
    }

    /// Counts a recovery from a dead owner.
    pub fn count_recovery(self) {
        // Partner: `recoveries`. Relaxed: a statistic. An addition by one instruction, since a
        // stale word is freed without holding the lock.
        self.words().recoveries.fetch_add(1, Relaxed);
    }

    /// Returns how often the lock was recovered from a dead owner, modulo 2^32.
    #[must_use]
    pub fn recoveries(self) -> u32 {
        // Partner: `count_recovery`. Relaxed: a statistic.
        self.words().recoveries.load(Relaxed)
    }
}
