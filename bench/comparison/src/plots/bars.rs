//! Draws a bar for each contender: the median, with the range of the rounds on it.

use plotters::prelude::{BLACK, Color, PathElement, Rectangle};
use plotters::style::text_anchor::HPos;
use shmlock_bench_support::Result;

use super::Area;
use super::scale::{Scale, around, label, micro, ticks};
use super::style::{GRID, colour, text, title};
use crate::figures::Figure;
use crate::results::Entries;
use crate::statistics::{median, range};
use crate::table::show;

/// The width of a picture.
const WIDTH: i32 = 960;
/// The width of the names at the left.
const NAMES: i32 = 170;
/// The room for the longest bar's number, at the right.
const NUMBER: i32 = 110;
/// The height of a line, and of its bar.
const LINE: i32 = 24;
const BAR: i32 = 16;
/// The height of the title, and of the axis.
const TOP: i32 = 56;
const BOTTOM: i32 = 36;

/// Returns width and height of the picture.
pub(super) fn size(entries: &Entries) -> Result<(u32, u32)> {
    let lines = i32::try_from(entries.kinds().len())?;
    Ok((u32::try_from(WIDTH)?, u32::try_from(TOP + BOTTOM + LINE * lines)?))
}

/// Draws the first metric of a figure, on a logarithmic scale: the contenders differ by factors of
/// a thousand.
pub(super) fn draw(area: &Area<'_>, figure: Figure, entries: &Entries) -> Result<()> {
    let (name, unit) = figure.metrics()[0];
    let kinds = entries.kinds();
    let all = || kinds.iter().flat_map(|kind| entries.of(*kind, 0));
    // The shortest bar has a length, too.
    let Some(ends) = around(all().chain(all().map(|value| value / 2.0))) else { return Ok(()) };
    let scale = Scale::new(ends, (NAMES + 10, WIDTH - NUMBER));
    let bottom = TOP + LINE * i32::try_from(kinds.len())?;
    area.draw_text(&micro(&format!("{}: {name}", figure.title())), &title(20), (20, 26))?;
    for tick in ticks(ends) {
        let place = scale.at(tick);
        area.draw(&PathElement::new([(place, TOP - 8), (place, bottom)], GRID))?;
        area.draw_text(&label(tick, unit), &text(15, HPos::Center), (place, bottom + 14))?;
    }
    for (kind, line) in kinds.iter().zip(0..) {
        let middle = TOP + LINE * line + LINE / 2;
        let value = median(entries.of(*kind, 0));
        let end = if value.is_finite() { scale.at(value) } else { scale.at(ends.0) };
        let corners = [(scale.at(ends.0), middle - BAR / 2), (end, middle + BAR / 2)];
        area.draw(&Rectangle::new(corners, colour(*kind).mix(0.7).filled()))?;
        let (least, greatest) = range(&entries.of(*kind, 0));
        let mut right = end;
        if greatest.is_finite() && least.is_finite() {
            right = right.max(scale.at(greatest));
            let whole = [(scale.at(least), middle), (scale.at(greatest), middle)];
            area.draw(&PathElement::new(whole, BLACK.stroke_width(2)))?;
        }
        area.draw_text(&micro(&show(value, unit)), &text(15, HPos::Left), (right + 6, middle))?;
        area.draw_text(kind.label(), &text(16, HPos::Right), (NAMES, middle))?;
    }
    Ok(())
}
