//! Counts waiting times in a histogram. Each doubling has 32 buckets, so a quantile is too high by
//! a thirty-second at most.

/// The number of buckets for each doubling.
const FINE: u64 = 32;

/// The number of buckets. The last one counts waits of 18 minutes (2^40 ns) and longer.
pub const BUCKETS: usize = bucket_of((1 << 40) - 1) + 1;

/// Returns the bucket for a wait of this many nanoseconds.
#[expect(clippy::cast_possible_truncation, reason = "at most 32 buckets for each of 64 doublings")]
#[must_use]
pub const fn bucket_of(nanoseconds: u64) -> usize {
    let shifted = nanoseconds + FINE; // the first buckets have one nanosecond each
    let doubling = shifted.ilog2() - FINE.ilog2();
    (FINE * doubling as u64 + (shifted >> doubling) % FINE) as usize
}

/// Returns the longest wait of a bucket, in nanoseconds.
const fn longest_of(bucket: usize) -> u64 {
    let (doubling, part) = (bucket as u64 / FINE, bucket as u64 % FINE);
    ((FINE + part + 1) << doubling) - 1 - FINE
}

/// Returns an upper bound of the shortest `permille` of the waits, in nanoseconds; `None` if there
/// are no waits.
#[must_use]
pub fn quantile(counts: &[u64], permille: u64) -> Option<u64> {
    let rank = (counts.iter().sum::<u64>() * permille).div_ceil(1000);
    let mut counted = 0;
    let found = counts.iter().position(|count| {
        counted += count;
        counted >= rank.max(1)
    });
    found.map(longest_of)
}

/// Returns, for each non-empty bucket, its longest wait in nanoseconds and the number of longer
/// waits.
#[must_use]
pub fn longer(counts: &[u64]) -> Vec<(u64, u64)> {
    let mut left = counts.iter().sum::<u64>();
    let filled = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    filled
        .map(|(bucket, count)| {
            left -= count;
            (longest_of(bucket), left)
        })
        .collect()
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
    fn quantiles_are_at_most_three_percent_too_high() {
        let mut counts = [0; BUCKETS];
        (1..=10_000).for_each(|wait| counts[bucket_of(wait)] += 1);
        for (permille, exact) in [(1, 10), (500, 5000), (990, 9900), (999, 9990)] {
            let found = quantile(&counts, permille).expect("there are waits");
            assert!(
                (exact..=exact + exact / 32).contains(&found),
                "{permille}: {found} instead of {exact}"
            );
        }
    }

    #[test]
    fn no_wait_is_longer_than_the_last_filled_bucket() {
        let mut counts = [0; BUCKETS];
        counts[bucket_of(5)] = 3;
        counts[bucket_of(7)] = 1;
        assert_eq!(longer(&counts), [(5, 1), (7, 0)]);
        assert_eq!(longer(&[]), []);
    }
}
