//! Counts waiting times in a histogram of shared words, which outlives the process that fills it.
//!
//! The buckets are those of [`histogram`](shmlock_bench_support::histogram).

use std::fmt;
use std::time::Duration;

use shmlock_bench_support::histogram::{BUCKETS, quantile};

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
        let longest = quantile(&self.counts, 10 * percent)?;
        Some(Duration::from_nanos(longest).min(self.longest))
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
    use shmlock_bench_support::histogram::bucket_of;

    use super::*;

    #[test]
    fn the_longest_wait_is_exact_and_no_percentile_exceeds_it() {
        let mut counts = [0; BUCKETS];
        counts[bucket_of(100)] = 1;
        let waits = Waits::new(&counts, Duration::from_nanos(100));
        assert_eq!(waits.percentile(50), Some(Duration::from_nanos(100)));
        assert_eq!(waits.percentile(100), Some(Duration::from_nanos(100)));
    }

    #[test]
    fn an_empty_histogram_has_no_percentiles() {
        assert_eq!(Waits::none().percentile(50), None);
        assert_eq!(Waits::none().percentile(100), None);
    }
}
