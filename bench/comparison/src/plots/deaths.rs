//! Draws the time from an owner's death to the waiter's acquisition, over the time waited.

use super::TakesPart;
use super::chart::{Line, Panel, Picture};
use super::scale::label;
use crate::contenders::Kind;
use crate::figures::{Figure, Results, Unit};
use crate::results::Entries;
use crate::statistics::{float, median};

/// Returns the picture; `None` if a line would have a single point.
pub(super) fn picture(results: &Results, takes_part: TakesPart) -> Option<Picture> {
    let mut owners: Vec<u64> = Vec::new();
    for (figure, _) in results {
        if let Figure::Recovery { memory, .. } = figure {
            owners.push(*memory);
        }
    }
    owners.dedup();
    let of_owner = |memory: u64| {
        let deaths = results.iter().filter_map(move |(figure, entries)| match figure {
            Figure::Recovery { waited, memory: of } if *of == memory => Some((*waited, entries)),
            _ => None,
        });
        deaths.collect::<Vec<_>>()
    };
    let deaths: Vec<_> = owners.into_iter().map(|memory| (memory, of_owner(memory))).collect();
    let never = never(&deaths.first()?.1, takes_part);
    let panels: Vec<Panel> = deaths
        .into_iter()
        .filter(|(_, deaths)| deaths.len() > 1)
        .map(|(memory, deaths)| panel(memory, &deaths, takes_part))
        .collect();
    let never = if never.is_empty() { never } else { format!("; never: {never}") };
    (!panels.is_empty()).then(|| Picture {
        title: "Death: from SIGKILL of the owner until the waiter owns the lock".to_owned(),
        remark: format!("median; lower is better; both axes are logarithmic{never}"),
        unit: Unit::Time,
        has_zero: false,
        panels,
    })
}

/// Returns the names of the contenders that do not recover.
fn never(deaths: &[(u64, &Entries)], takes_part: TakesPart) -> String {
    let Some((_, entries)) = deaths.first() else { return String::new() };
    let never = |kind: &Kind| takes_part(*kind) && !kind.recovers();
    let names: Vec<_> = entries.kinds().into_iter().filter(never).map(Kind::label).collect();
    names.join(", ")
}

fn panel(memory: u64, deaths: &[(u64, &Entries)], takes_part: TakesPart) -> Panel {
    let kinds = deaths.first().map(|(_, entries)| entries.kinds()).unwrap_or_default();
    let points = |kind: Kind| {
        let point =
            |(waited, entries): &(u64, &Entries)| (float(*waited), median(entries.of(kind, 0)));
        deaths.iter().map(point).collect()
    };
    let title =
        if memory == 0 { "Small owner".to_owned() } else { format!("Owner with {memory} MiB") };
    let name = |waited: u64| label(float(waited) * 1e6, Unit::Time);
    Panel {
        title,
        x_name: "time that the waiter has waited",
        x_ticks: deaths.iter().map(|(waited, _)| (float(*waited), name(*waited))).collect(),
        lines: kinds
            .into_iter()
            .filter(|kind| takes_part(*kind) && kind.recovers())
            .map(|kind| Line { kind, points: points(kind) })
            .collect(),
    }
}
