//! Counts waiting times in a histogram of shared words, which outlives the process that fills it.
//!
//! Each doubling has eight buckets, so a percentile is too high by an eighth at most.

use std::fmt;
use std::time::Duration;

/// The number of buckets. The last one counts waits of 18 minutes (2^40 ns) and longer.
pub(crate) const BUCKETS: usize = 1 + bucket_of((1 << 40) - 1);

/// Returns the bucket for a wait of this many nanoseconds.
pub(crate) const fn bucket_of(nanoseconds: u64) -> usize {
    let shifted = nanoseconds + 8; // the first eight buckets have one nanosecond each
    let doubling = shifted.ilog2() - 3;
    let eighth = (shifted >> doubling) % 8;
    8 * doubling as usize + eighth as usize
}

/// Returns the longest wait of a bucket, in nanoseconds.
const fn longest_of(bucket: usize) -> u64 {
    let (doubling, eighth) = (bucket / 8, bucket as u64 % 8);
    ((8 + eighth + 1) << doubling) - 1 - 8
}

/// The waiting times of one worker, or of several.
#[derive(Clone, Debug)]
pub(crate) struct Waits {
    counts: [u64; BUCKETS],
    longest: Duration,
}

impl Waits {
    /// Makes it of a histogram's counts and its longest wait.
    pub(crate) fn new(counts: &[u64; BUCKETS], longest: Duration) -> Self {
        Self { counts: *counts, longest }
    }

    /// Makes an empty histogram.
    pub(crate) fn none() -> Self {
        Self::new(&[0; BUCKETS], Duration::ZERO)
    }

    /// Adds the waits of another worker.
    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, count) in self.counts.iter_mut().zip(other.counts) {
            *sum += count;
        }
        self.longest = self.longest.max(other.longest);
    }

    /// Returns an upper bound of the shortest `percent` of the waits; exact for 100. `None` if
    /// there are no waits.
    pub(crate) fn percentile(&self, percent: u64) -> Option<Duration> {
        let rank = (self.counts.iter().sum::<u64>() * percent).div_ceil(100);
        let mut counted = 0;
        let bucket = self.counts.iter().position(|count| {
            counted += count;
            counted >= rank.max(1)
        })?;
        Some(Duration::from_nanos(longest_of(bucket)).min(self.longest))
    }
}

/// Prints the median, the 99th percentile and the longest, in columns of ten characters.
impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for percent in [50, 99, 100] {
            match self.percentile(percent) {
                Some(wait) => write!(f, "{wait:>10.1?}")?,
                None => write!(f, "{:>10}", "-")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_without_gap_or_overlap() {
        for bucket in 0..BUCKETS {
            assert_eq!(bucket_of(longest_of(bucket)), bucket);
            assert_eq!(bucket_of(longest_of(bucket) + 1), bucket + 1);
        }
    }

    #[test]
    fn percentiles_are_at_most_an_eighth_too_high() {
        let mut counts = [0; BUCKETS];
        for nanoseconds in 1..=1000 {
            counts[bucket_of(nanoseconds)] += 1;
        }
        let waits = Waits::new(&counts, Duration::from_micros(1));
        for (percent, exact) in [(1, 10), (50, 500), (99, 990), (100, 1000)] {
            let found = waits.percentile(percent).expect("there are waits").as_nanos();
            assert!(
                (exact..=exact + exact / 8).contains(&found),
                "{percent} %: {found} instead of {exact}"
            );
        }
    }

    #[test]
    fn an_empty_histogram_has_no_percentiles() {
        assert_eq!(Waits::none().percentile(50), None);
        assert_eq!(Waits::none().percentile(100), None);
    }
}
