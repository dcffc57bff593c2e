//! Draws a bar for each contender: the median, with the range of the rounds on it.

use plotters::prelude::{BLACK, ChartBuilder, Color, IntoLogRange, PathElement, Rectangle};
use plotters::style::text_anchor::HPos;
use shmlock_bench_support::Result;

use super::Area;
use super::style::{colour, text};
use crate::figures::{Figure, float};
use crate::results::Entries;
use crate::statistics::{median, range};
use crate::table::show;

/// The width of the names at the left.
const NAMES: i32 = 170;

/// Draws the first metric of a figure, on a logarithmic scale: the contenders differ by factors of
/// a thousand.
pub(super) fn draw(area: &Area<'_>, figure: Figure, entries: &Entries) -> Result<()> {
    let (name, unit) = figure.metrics()[0];
    let kinds = entries.kinds();
    let all: Vec<f64> = kinds
        .iter()
        .flat_map(|kind| entries.of(*kind, 0))
        .filter(|value| value.is_finite())
        .collect();
    let (least, greatest) = range(&all);
    if all.is_empty() || least <= 0.0 {
        return Ok(()); // a logarithmic scale has no zero
    }
    // The shortest bar has a length, and the longest has room for its number.
    let (low, high) = (least / 2.0, greatest * 4.0);
    let mut chart = ChartBuilder::on(area)
        .caption(format!("{}: {name}", figure.title()), ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(NAMES)
        .build_cartesian_2d((low..high).log_scale(), 0.0..float(kinds.len() as u64))?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_label_formatter(&|value| show(*value, unit))
        .draw()?;
    for (kind, line) in kinds.iter().rev().zip(0_u32..) {
        let (bottom, middle, top) =
            (f64::from(line) + 0.15, f64::from(line) + 0.5, f64::from(line) + 0.85);
        let value = median(entries.of(*kind, 0));
        let bar = if value.is_finite() { value } else { low };
        let corners = [(low, bottom), (bar, top)];
        chart.draw_series([Rectangle::new(corners, colour(*kind).mix(0.7).filled())])?;
        let (least, greatest) = range(&entries.of(*kind, 0));
        if greatest.is_finite() {
            chart.draw_series([PathElement::new(
                [(least, middle), (greatest, middle)],
                BLACK.stroke_width(2),
            )])?;
        }
        let right = chart
            .backend_coord(&(bar.max(if greatest.is_finite() { greatest } else { low }), middle));
        area.draw_text(&show(value, unit), &text(13, HPos::Left), (right.0 + 6, right.1))?;
        area.draw_text(kind.label(), &text(14, HPos::Right), (NAMES, right.1))?;
    }
    Ok(())
}
