//! Prints one table for each figure, with one line for each contender: medians, the range of the
//! first column, and the median of its ratios to the reference of the same round.

use std::fmt::Write;

use crate::figures::{Figure, Unit};
use crate::results::Entries;
use crate::statistics::{median, range};

/// Returns the table of one figure.
pub(crate) fn table(figure: Figure, entries: &Entries) -> String {
    let metrics = figure.metrics();
    let mut text = format!("\n{}; ratio: to {}\n", figure.title(), entries.reference.label());
    // Writing to a string cannot fail, here and below.
    let _ = write!(text, "{:<19}{:>15}{:>20}{:>8}", "", metrics[0].0, "(range)", "ratio");
    for (name, _) in &metrics[1..] {
        let _ = write!(text, "{name:>15}");
    }
    for kind in entries.kinds() {
        let values = entries.of(kind, 0);
        let (least, greatest) = range(&values);
        let unit = metrics[0].1;
        let range = if values.iter().all(|value| value.is_nan()) {
            "-".to_owned()
        } else {
            format!("{}..{}", show(least, unit), show(greatest, unit))
        };
        let ratio = show(entries.median_ratio(kind), Unit::Plain);
        let _ = write!(
            text,
            "\n{:<19}{:>15}{range:>20}{ratio:>8}",
            kind.label(),
            show(median(values), unit)
        );
        for (index, (_, unit)) in metrics.iter().enumerate().skip(1) {
            let _ = write!(text, "{:>15}", show(median(entries.of(kind, index)), *unit));
        }
        if let Some(reason) = entries.by(kind).find_map(|entry| entry.measured.skipped.as_ref()) {
            let _ = write!(text, "  skipped: {reason}");
        }
        let lost: u64 = entries.by(kind).map(|entry| entry.measured.lost).sum();
        if lost != 0 {
            let _ = write!(text, "  lost {lost}");
        }
    }
    text
}

/// Formats a value by three digits and a unit. An infinite time is "never".
pub(crate) fn show(value: f64, unit: Unit) -> String {
    if value.is_infinite() && unit == Unit::Time {
        return "never".to_owned();
    }
    if !value.is_finite() {
        return "-".to_owned();
    }
    let (base, steps): (f64, &[&str]) = match unit {
        Unit::Time => (value, &["ns", "us", "ms", "s"]),
        Unit::Rate => (value, &["/s", "k/s", "M/s", "G/s"]),
        Unit::Plain => return format!("{value:.*}", if value < 100.0 { 2 } else { 0 }),
        Unit::Count => return format!("{value:.0}"),
    };
    let mut scaled = base;
    let mut steps = steps.iter();
    let mut name = steps.next();
    while scaled >= 1000.0 && steps.len() > 0 {
        scaled /= 1000.0;
        name = steps.next();
    }
    let digits = if scaled < 10.0 { 2 } else { usize::from(scaled < 100.0) };
    format!("{scaled:.digits$} {}", name.unwrap_or(&""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contenders::Kind;
    use crate::results::{Entry, Measured};

    #[test]
    fn a_skipped_contender_has_dashes_and_the_reason() {
        let measured = Measured::skipped("too few descriptors".to_owned(), 4);
        let list = vec![Entry { round: 1, kind: Kind::Flock, measured }];
        let entries = Entries { reference: Kind::Flock, list };
        let text = table(Figure::Handles { handles: 5000 }, &entries);
        let line = text.lines().last().unwrap_or_default();
        assert!(line.starts_with("flock") && line.ends_with("-  skipped: too few descriptors"));
        assert!(!line.contains("never"));
    }

    #[test]
    fn numbers_have_three_digits_and_a_unit() {
        assert_eq!(show(8.04, Unit::Time), "8.04 ns");
        assert_eq!(show(12_340.0, Unit::Time), "12.3 us");
        assert_eq!(show(26_000_000.0, Unit::Rate), "26.0 M/s");
        assert_eq!(show(5e12, Unit::Time), "5000 s");
        assert_eq!(show(f64::INFINITY, Unit::Time), "never");
        assert_eq!(show(f64::INFINITY, Unit::Plain), "-");
    }
}
