//! Draws the critical sections a second over the number of processes.

use super::TakesPart;
use super::chart::{Line, Panel, Picture};
use crate::figures::{Figure, Results, Unit};
use crate::statistics::{float, median};

/// Returns the picture of the figures with work, or without, for some contenders; `None` if a line
/// would have a single point.
pub(super) fn picture(
    results: &Results,
    with_work: bool,
    takes_part: TakesPart,
) -> Option<Picture> {
    let figures: Vec<_> = results
        .iter()
        .filter_map(|(figure, entries)| match figure {
            Figure::Contended { processes, work } if *work == with_work => {
                Some((float(*processes as u64), entries))
            }
            _ => None,
        })
        .collect();
    if figures.len() < 2 {
        return None;
    }
    let kinds = figures.first()?.1.kinds().into_iter().filter(|kind| takes_part(*kind));
    let points = |kind| {
        let point = |(processes, entries): &(f64, &crate::results::Entries)| {
            (*processes, median(entries.of(kind, 0)))
        };
        figures.iter().map(point).collect()
    };
    let work = if with_work { "1 µs of work in each" } else { "empty sections" };
    Some(Picture {
        title: format!("Throughput: critical sections a second, {work}"),
        remark: "all processes together; higher is better; both axes are logarithmic".to_owned(),
        unit: Unit::Rate,
        has_zero: false,
        panels: vec![Panel {
            title: String::new(),
            x_name: "processes that contend",
            x_ticks: figures.iter().map(|(number, _)| (*number, format!("{number:.0}"))).collect(),
            lines: kinds.map(|kind| Line { kind, points: points(kind) }).collect(),
        }],
    })
}
