//! How much a lock is used, at no cost to whoever does not have to wait.
//!
//! The acquisitions are counted anyway, for the [fencing token](Region::fencing_token), and so are
//! the recoveries. What is added here is one word that only those write who found the lock held.

use crate::region::Region;
use crate::sync::Relaxed;

/// How often to read the halves of a count until they stand still. Arbitrary: the high half moves
/// once in 2^32.
const READ_ATTEMPTS: u32 = 16;

impl Region<'_> {
    /// Counts an acquisition that found the lock held by another. Only the holder calls it, before
    /// its section begins.
    ///
    /// *If we die before:* one is missing.
    #[inline]
    pub fn count_contended(self) {
        let contended = &self.words().contended;
        // Partner: the same by the previous holder, made visible by the fences of the owner word.
        // Relaxed: and so no addition by one instruction is needed.
        contended.store(contended.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// How many acquisitions found the lock held by another, modulo 2^32. Anybody may call it at
    /// any time.
    #[must_use]
    pub fn contended(self) -> u32 {
        // Partner: `count_contended`. Relaxed: a statistic.
        self.words().contended.load(Relaxed)
    }

    /// How often the lock has been acquired. Anybody may call it at any time; to the holder it is
    /// its fencing token.
    #[must_use]
    #[inline]
    pub fn acquisitions(self) -> u64 {
        let words = self.words();
        // Partner: `count_acquisition`, throughout. Relaxed: a statistic. It writes the high half
        // first, so a low half that is read between two equal high halves belongs to them, but for
        // the moment between the two writes.
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
}
