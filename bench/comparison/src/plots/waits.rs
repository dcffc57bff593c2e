//! Draws the share of acquires that took longer than a time: a line for each contender, over all
//! rounds, which ends at the longest.

use plotters::prelude::PathElement;
use plotters::style::text_anchor::HPos;
use shmlock_bench_support::Result;
use shmlock_bench_support::histogram::longer;

use super::scale::{Scale, around, label, micro, ticks};
use super::style::{GREY, GRID, LEGEND, legend, stroke, text, title};
use super::{Area, TakesPart};
use crate::contenders::Kind;
use crate::figures::{Figure, Unit};
use crate::results::Entries;
use crate::statistics::float;

/// The smallest share on the plot: one in ten million.
const FLOOR: f64 = 1e-7;

/// Width and height of a picture.
pub(super) const SIZE: (i32, i32) = (900, 500);
/// The margins of the axes.
const TOP: i32 = 80;
const BOTTOM: i32 = 56;
const LEFT: i32 = 90;

/// Draws the distribution of one contended figure, for some contenders.
pub(super) fn draw(
    area: &Area<'_>,
    figure: Figure,
    entries: &Entries,
    takes_part: TakesPart,
) -> Result<()> {
    let kinds = entries.kinds().into_iter().filter(|kind| takes_part(*kind));
    let mut lines: Vec<(Kind, Vec<(f64, f64)>)> =
        kinds.map(|kind| (kind, line(entries, kind))).collect();
    let longest = |line: &[(f64, f64)]| line.last().map_or(0.0, |point| point.0);
    lines.sort_by(|(_, one), (_, other)| longest(other).total_cmp(&longest(one)));
    let waits = lines.iter().flat_map(|(_, line)| line).map(|point| point.0);
    let Some(range) = around(waits) else { return Ok(()) };
    let (right, bottom) = (SIZE.0 - LEGEND, SIZE.1 - BOTTOM);
    let x = Scale::new(range, (LEFT, right));
    let y = Scale::new((FLOOR, 1.0), (bottom, TOP));
    let name = micro(&format!("{}: how many acquires took longer", figure.title()));
    area.draw_text(&name, &title(21), (20, 26))?;
    area.draw_text(
        "each line ends at the longest acquire; both axes are logarithmic",
        &text(16, HPos::Left).color(&GREY),
        (20, 50),
    )?;
    for tick in ticks(range) {
        let place = x.at(tick);
        area.draw(&PathElement::new([(place, TOP), (place, bottom)], GRID))?;
        area.draw_text(&label(tick, Unit::Time), &text(15, HPos::Center), (place, bottom + 15))?;
    }
    for tick in ticks((FLOOR, 1.0)) {
        let place = y.at(tick);
        area.draw(&PathElement::new([(LEFT, place), (right, place)], GRID))?;
        area.draw_text(&percent(tick), &text(15, HPos::Right), (LEFT - 8, place))?;
    }
    let style = text(15, HPos::Center).color(&GREY);
    area.draw_text("time of an acquire", &style, ((LEFT + right) / 2, bottom + 38))?;
    for (kind, line) in &lines {
        let points: Vec<_> = line.iter().map(|(wait, share)| (x.at(*wait), y.at(*share))).collect();
        area.draw(&PathElement::new(points, stroke(*kind)))?;
    }
    legend(area, right, &lines.iter().map(|(kind, _)| *kind).collect::<Vec<_>>())
}

/// Returns the points of a contender's line, down to the floor at the longest acquire.
fn line(entries: &Entries, kind: Kind) -> Vec<(f64, f64)> {
    let mut counts = Vec::<u64>::new();
    for entry in entries.by(kind) {
        counts.resize(entry.measured.waits.len(), 0);
        counts.iter_mut().zip(&entry.measured.waits).for_each(|(sum, count)| *sum += count);
    }
    let all = float(counts.iter().sum());
    let share = |left: u64| (float(left) / all).max(FLOOR);
    longer(&counts).into_iter().map(|(wait, left)| (float(wait.max(10)), share(left))).collect()
}

/// Formats a share as a percentage, without zeros at the end.
fn percent(share: f64) -> String {
    let text = format!("{:.6}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_have_no_zeros_at_the_end() {
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(percent(0.01), "1 %");
        assert_eq!(percent(1e-7), "0.00001 %");
    }
}
