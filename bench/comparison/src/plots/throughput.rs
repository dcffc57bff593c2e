//! Draws the critical sections per second over the number of processes: a line for each contender.

use plotters::prelude::{ChartBuilder, Circle, Color, IntoLogRange, LineSeries};
use plotters::style::text_anchor::HPos;
use shmlock_bench_support::Result;

use super::Area;
use super::style::{LEGEND, colour, legend, stroke, text};
use crate::contenders::Kind;
use crate::figures::Results;
use crate::figures::{Figure, Unit};
use crate::statistics::{median, range};
use crate::table::show;

/// The lines, with a point for each number of processes.
pub(super) struct Lines {
    with_work: bool,
    processes: Vec<u32>,
    by_kind: Vec<(Kind, Vec<f64>)>,
}

impl Lines {
    /// Makes the lines of the figures with work, or without.
    pub(super) fn of(results: &Results, with_work: bool) -> Self {
        let figures = results.iter().filter_map(|(figure, entries)| match figure {
            Figure::Contended { processes, work } if *work == with_work => {
                Some((*processes, entries))
            }
            _ => None,
        });
        let figures: Vec<_> = figures.collect();
        let kinds = figures.first().map(|(_, entries)| entries.kinds()).unwrap_or_default();
        let medians = |kind| {
            figures.iter().map(|(_, entries)| median(entries.of(kind, 0))).collect::<Vec<_>>()
        };
        let mut by_kind: Vec<_> = kinds.into_iter().map(|kind| (kind, medians(kind))).collect();
        let end = |line: &(Kind, Vec<f64>)| line.1.last().copied().unwrap_or(0.0);
        by_kind.sort_by(|one, other| end(other).total_cmp(&end(one)));
        let processes = figures
            .iter()
            .map(|(processes, _)| u32::try_from(*processes).unwrap_or(u32::MAX))
            .collect();
        Self { with_work, processes, by_kind }
    }

    /// Returns the number of points of each line.
    pub(super) fn points(&self) -> usize {
        self.processes.len()
    }

    /// Draws the lines.
    pub(super) fn draw(&self, area: &Area<'_>) -> Result<()> {
        let all: Vec<f64> = self
            .by_kind
            .iter()
            .flat_map(|(_, values)| values.clone())
            .filter(|v| *v > 0.0)
            .collect();
        let (lowest, highest) = range(&all);
        // A logarithmic axis, on which 2, 4, 15 and 64 processes are about equally far apart.
        let doublings: Vec<f64> =
            self.processes.iter().map(|processes| f64::from(*processes).log2()).collect();
        let (first, last) = range(&doublings);
        let (left, right) = area.split_horizontally(super::LINES.0 - LEGEND);
        let what = if self.with_work { "1 us of work" } else { "empty section" };
        let mut chart = ChartBuilder::on(&left)
            .caption(format!("C: sections by number of processes, {what}"), ("sans-serif", 18))
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(80)
            .build_cartesian_2d(
                first - 0.2..last + 0.2,
                (lowest * 0.7..highest * 1.4).log_scale(),
            )?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(0)
            .x_desc("processes")
            .y_label_formatter(&|value| show(*value, Unit::Rate))
            .draw()?;
        for (processes, x) in self.processes.iter().zip(&doublings) {
            let bottom = chart.backend_coord(&(*x, lowest * 0.7));
            left.draw_text(
                &processes.to_string(),
                &text(12, HPos::Center),
                (bottom.0, bottom.1 + 12),
            )?;
        }
        for (kind, values) in &self.by_kind {
            let points = || {
                doublings
                    .iter()
                    .copied()
                    .zip(values.iter().copied())
                    .filter(|(_, value)| *value > 0.0)
            };
            chart.draw_series(LineSeries::new(points(), stroke(*kind)))?;
            chart
                .draw_series(points().map(|point| Circle::new(point, 3, colour(*kind).filled())))?;
        }
        legend(&right, &self.by_kind.iter().map(|(kind, _)| *kind).collect::<Vec<_>>())
    }
}
