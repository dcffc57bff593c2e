//! Computes the median, a quantile and the range of several rounds, and converts to floats.

/// Returns the median; NaN if there are no values.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        even if even % 2 == 0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

/// Returns the least value that at least `permille` of the values do not exceed; NaN if there are
/// no values.
pub(crate) fn quantile(mut values: Vec<f64>, permille: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() * permille).div_ceil(1000).max(1);
    values.get(rank - 1).copied().unwrap_or(f64::NAN)
}

/// Returns the least and the greatest value.
pub(crate) fn range(values: &[f64]) -> (f64, f64) {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (least, greatest)
}

/// Converts to a float; exact up to 2^53, which is 104 days in nanoseconds.
#[expect(clippy::cast_precision_loss, reason = "see above")]
pub(crate) fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_round_does_not_move_the_median() {
        assert!((median(vec![1000.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(vec![4.0, 1.0, 2.0, 1000.0]) - 3.0).abs() < 1e-9);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let values: Vec<f64> = (1..=15).rev().map(f64::from).collect();
        assert!((quantile(values.clone(), 900) - 14.0).abs() < 1e-9);
        assert!((quantile(values.clone(), 500) - 8.0).abs() < 1e-9);
        assert!((quantile(values.clone(), 1000) - 15.0).abs() < 1e-9);
        assert!((quantile(values, 0) - 1.0).abs() < 1e-9);
        assert!((quantile(vec![1.0, f64::INFINITY], 900)).is_infinite());
        assert!(quantile(Vec::new(), 900).is_nan());
    }

    #[test]
    fn the_range_goes_from_the_least_to_the_greatest() {
        assert_eq!(range(&[2.0, 1.0, 3.0]), (1.0, 3.0));
    }
}
