//! Prints one table of all crowds of waiters: a line for each crowd, and for each contender the
//! wake-ups a second and the share of a core, of all its waiters together.

use std::fmt::Write;

use crate::contenders::Kind;
use crate::crowd::Size;
use crate::figures::waiting::SWEPT;
use crate::figures::{Figure, Results};
use crate::results::Entries;
use crate::statistics::median;

/// The width of the names of the crowds.
const NAMES: usize = 39;

/// Returns `true` if this figure is a line of the table: a crowd, but for that of the poll sweep,
/// whose contenders are too many for columns.
pub(crate) fn has(figure: Figure) -> bool {
    matches!(figure, Figure::Waiting(size) if size != SWEPT)
}

/// Returns the table; `None` if there are no such figures.
pub(crate) fn waiting(results: &Results) -> Option<String> {
    let crowds: Vec<(Size, &Entries)> = results
        .iter()
        .filter(|(figure, _)| has(*figure))
        .filter_map(|(figure, entries)| match figure {
            Figure::Waiting(size) => Some((*size, entries)),
            _ => None,
        })
        .collect();
    let kinds = crowds.first()?.1.kinds();
    let mut text = String::from(
        "\nW: the lock stands still; all waiters together: wake-ups a second, share of a core\n",
    );
    let _ = write!(text, "{:NAMES$}", ""); // writing to a string cannot fail; so below
    for kind in &kinds {
        let _ = write!(text, "{:>20}", kind.label());
    }
    for (size, entries) in crowds {
        let _ = write!(text, "\n{:NAMES$}", size.label());
        for kind in &kinds {
            let _ = write!(text, "{:>20}", cell(entries, *kind));
        }
        let skipped = entries.list.iter().find_map(|entry| entry.measured.skipped.as_ref());
        if let Some(reason) = skipped {
            let _ = write!(text, "  skipped: {reason}");
        }
    }
    Some(text)
}

/// Returns wake-ups and share of a core, by the medians of the rounds.
fn cell(entries: &Entries, kind: Kind) -> String {
    let [wake_ups, cpu] = [0, 1].map(|metric| median(entries.of(kind, metric)));
    if wake_ups.is_nan() {
        return "-".to_owned();
    }
    let digits = usize::from(wake_ups < 100.0);
    format!("{wake_ups:.digits$} {:>9}", share(cpu))
}

/// Formats nanoseconds of processor time a second as a percentage of a core.
fn share(cpu: f64) -> String {
    format!("{:.3} %", cpu / 1e7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Entry, Measured};

    #[test]
    fn a_share_is_a_percentage_of_a_core() {
        assert_eq!(share(500_000.0), "0.050 %");
        assert_eq!(share(1e9), "100.000 %");
    }

    #[test]
    fn the_table_has_a_line_for_each_crowd_and_the_reason_for_a_gap() {
        let entry = |measured| Entry { round: 1, kind: Kind::Flock, measured };
        let figure = |size, measured| {
            let list = vec![entry(measured)];
            (Figure::Waiting(size), Entries { reference: Kind::Flock, list })
        };
        let results = vec![
            figure(Size::processes(2), Measured::values(vec![3.25, 1e6, 1.0, 1.0])),
            figure(Size::threads(3500), Measured::skipped("too few".to_owned(), 4)),
        ];
        let text = waiting(&results).expect("there are figures");
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[2].trim() == "flock");
        assert!(lines[3].starts_with("2 waiting processes") && lines[3].ends_with("3.2   0.100 %"));
        assert!(lines[4].starts_with("3500 waiting threads") && lines[4].ends_with("too few"));
        assert!(waiting(&Vec::new()).is_none());
    }
}
