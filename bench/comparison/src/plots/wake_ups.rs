//! Draws the wake-ups a second over the number of waiters: processes, and threads of one process.

use super::chart::{Line, Panel, Picture};
use crate::contenders::Kind;
use crate::crowd::Size;
use crate::figures::{Figure, Results, Unit};
use crate::results::Entries;
use crate::statistics::median;

/// Returns the picture; `None` if a line would have a single point.
pub(super) fn picture(results: &Results) -> Option<Picture> {
    let crowds = |takes_part: fn(Size) -> bool| {
        let waiting = results.iter().filter_map(move |(figure, entries)| match figure {
            Figure::Waiting(size) if takes_part(*size) => Some((size.waiters(), entries)),
            _ => None,
        });
        waiting.collect::<Vec<_>>()
    };
    let processes = crowds(|size| size.threads == 1);
    let threads = crowds(|size| size.processes == 1);
    if processes.len() < 2 {
        return None;
    }
    let mut panels = vec![panel("Waiting processes", "waiting processes", &processes)];
    if threads.len() > 1 {
        panels.push(panel("Waiting threads of one process", "waiting threads", &threads));
    }
    Some(Picture {
        title: "Waiting: wake-ups a second, while the lock stands still".to_owned(),
        remark: "all waiters together; lower is better; both axes are logarithmic, but for zero"
            .to_owned(),
        unit: Unit::Rate,
        has_zero: true,
        panels,
    })
}

fn panel(title: &str, x_name: &'static str, crowds: &[(u32, &Entries)]) -> Panel {
    let kinds = crowds.first().map(|(_, entries)| entries.kinds()).unwrap_or_default();
    let points = |kind: Kind| {
        let point = |(waiters, entries): &(u32, &Entries)| {
            (f64::from(*waiters), median(entries.of(kind, 0)))
        };
        crowds.iter().map(point).collect()
    };
    Panel {
        title: title.to_owned(),
        x_name,
        x_ticks: crowds
            .iter()
            .map(|(number, _)| (f64::from(*number), number.to_string()))
            .collect(),
        lines: kinds.into_iter().map(|kind| Line { kind, points: points(kind) }).collect(),
    }
}
