//! Defines the contenders' colours, the text and the legend.

use plotters::prelude::{BLACK, Color, HSLColor, PathElement, RGBAColor, RGBColor, ShapeStyle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, IntoFont, TextStyle};
use shmlock_bench_support::Result;

use super::Area;
use crate::contenders::Kind;

/// The width of the legend, at the right of the lines.
pub(super) const LEGEND: i32 = 190;

/// The colour of text that explains.
pub(super) const GREY: RGBColor = RGBColor(90, 90, 90);

/// The style of a grid line.
pub(super) const GRID: ShapeStyle =
    ShapeStyle { color: RGBAColor(222, 222, 222, 1.0), filled: false, stroke_width: 1 };

/// The style of an axis.
pub(super) const AXIS: ShapeStyle =
    ShapeStyle { color: RGBAColor(90, 90, 90, 1.0), filled: false, stroke_width: 1 };

/// Returns a contender's colour. Those of the main plots are far apart, also for readers with
/// little sense of red and green; all of shmlock's are blue.
pub(super) fn colour(kind: Kind) -> RGBAColor {
    // Its place in its group, from 0 to 1. Neighbours in the tables also differ in lightness.
    let (like, is_odd) = {
        let like: Vec<_> =
            Kind::ALL.iter().filter(|other| other.is_ours() == kind.is_ours()).collect();
        let index = like.iter().position(|other| **other == kind).unwrap_or(0);
        (share(index, like.len()), index % 2 == 1)
    };
    match kind {
        Kind::Control => RGBColor(160, 160, 160).to_rgba(),
        Kind::BareFutex => BLACK.to_rgba(),
        Kind::OursFutex => RGBColor(0, 90, 181).to_rgba(),
        Kind::Robust => RGBColor(213, 94, 0).to_rgba(),
        Kind::Flock => RGBColor(0, 140, 90).to_rgba(),
        Kind::Semaphore => RGBColor(170, 70, 150).to_rgba(),
        _ if kind.is_ours() => HSLColor(0.6, 1.0, 0.35 + 0.4 * like).to_rgba(),
        // All hues but blue, which is around 0.6.
        _ => HSLColor((0.72 + 0.8 * like) % 1.0, 0.8, if is_odd { 0.35 } else { 0.55 }).to_rgba(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "some dozens")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

/// Returns the contender's line style: thick for shmlock, thin for a contender of the appendix.
pub(super) fn stroke(kind: Kind) -> ShapeStyle {
    let width = match kind {
        Kind::OursFutex => 4,
        _ if kind.is_main() => 2,
        _ => 1,
    };
    ShapeStyle { color: colour(kind), filled: false, stroke_width: width }
}

/// Returns a text style of this size, anchored at this point of the text.
pub(super) fn text(size: i32, anchor: HPos) -> TextStyle<'static> {
    TextStyle::from(("sans-serif", size).into_font()).pos(Pos::new(anchor, VPos::Center))
}

/// Returns the text style of a title.
pub(super) fn title(size: i32) -> TextStyle<'static> {
    let font = ("sans-serif", size).into_font().style(FontStyle::Bold);
    TextStyle::from(font).pos(Pos::new(HPos::Left, VPos::Center))
}

/// Draws the legend beside a vertical line: the lines from top to bottom, in the order of their
/// ends.
pub(super) fn legend(area: &Area<'_>, left: i32, kinds: &[Kind]) -> Result<()> {
    for (kind, line) in kinds.iter().zip(0..) {
        let y = 90 + 22 * line;
        area.draw(&PathElement::new([(left + 8, y), (left + 32, y)], stroke(*kind)))?;
        let colour = colour(*kind);
        let style = text(16, HPos::Left).color(&colour);
        area.draw_text(kind.label(), &style, (left + 40, y))?;
    }
    Ok(())
}
