//! Draws the share of acquires that took longer than a time: a line for each contender, over all
//! rounds, which ends at the longest.

use plotters::prelude::{ChartBuilder, IntoLogRange, LineSeries};
use shmlock_bench_support::Result;
use shmlock_bench_support::histogram::longer;

use super::Area;
use super::style::{LEGEND, legend, stroke};
use crate::contenders::Kind;
use crate::figures::{Figure, Unit, float};
use crate::results::Entries;
use crate::table::show;

/// The smallest share on the plot: one in ten million.
const FLOOR: f64 = 1e-7;

/// Draws the distribution of one contended figure.
pub(super) fn draw(area: &Area<'_>, figure: Figure, entries: &Entries) -> Result<()> {
    let mut lines: Vec<(Kind, Vec<(f64, f64)>)> =
        entries.kinds().into_iter().map(|kind| (kind, line(entries, kind))).collect();
    let longest = |line: &[(f64, f64)]| line.last().map_or(0.0, |point| point.0);
    lines.sort_by(|(_, one), (_, other)| longest(other).total_cmp(&longest(one)));
    let high = lines.first().map_or(0.0, |(_, line)| longest(line)).max(100.0);
    let (left, right) = area.split_horizontally(super::LINES.0 - LEGEND);
    let mut chart = ChartBuilder::on(&left)
        .caption(format!("{}: how many acquires took longer", figure.title()), ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(80)
        .build_cartesian_2d((10.0..high * 1.5).log_scale(), (FLOOR..1.0).log_scale())?;
    chart
        .configure_mesh()
        .x_label_formatter(&|value| show(*value, Unit::Time))
        .y_label_formatter(&|share| percent(*share))
        .draw()?;
    for (kind, line) in &lines {
        chart.draw_series(LineSeries::new(line.iter().copied(), stroke(*kind)))?;
    }
    legend(&right, &lines.iter().map(|(kind, _)| *kind).collect::<Vec<_>>())
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
