//! Defines the contenders' colours, the text and the legend.

use plotters::prelude::{BLACK, Color, HSLColor, PathElement, RGBAColor, RGBColor, ShapeStyle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{IntoFont, TextStyle};
use shmlock_bench_support::Result;

use super::Area;
use crate::contenders::Kind;

/// The width of the legend, at the right of the lines.
pub(super) const LEGEND: u32 = 190;

/// Returns a contender's colour: shmlock's are blue, the reference is black, the control is grey.
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
        _ if kind.is_ours() => HSLColor(0.6, 1.0, 0.35 + 0.4 * like).to_rgba(),
        // All hues but blue, which is around 0.6.
        _ => HSLColor((0.72 + 0.8 * like) % 1.0, 0.8, if is_odd { 0.35 } else { 0.55 }).to_rgba(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "some dozens")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

/// Returns the contender's line style; thick for shmlock and the reference.
pub(super) fn stroke(kind: Kind) -> ShapeStyle {
    let is_wanted = kind == Kind::BareFutex || kind == Kind::OursFutex;
    ShapeStyle { color: colour(kind), filled: true, stroke_width: if is_wanted { 3 } else { 1 } }
}

/// Returns a text style of this size, anchored at this point of the text.
pub(super) fn text(size: i32, anchor: HPos) -> TextStyle<'static> {
    TextStyle::from(("sans-serif", size).into_font()).pos(Pos::new(anchor, VPos::Center))
}

/// Draws the legend: the lines from top to bottom, in the order of their ends.
pub(super) fn legend(area: &Area<'_>, kinds: &[Kind]) -> Result<()> {
    for (kind, line) in kinds.iter().zip(0..) {
        let y = 50 + 22 * line;
        area.draw(&PathElement::new([(8, y), (32, y)], stroke(*kind)))?;
        area.draw_text(kind.label(), &text(14, HPos::Left), (40, y))?;
    }
    Ok(())
}
