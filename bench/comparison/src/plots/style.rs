//! Which colour is whose, and what stands beside the lines?

use plotters::prelude::{BLACK, Color, HSLColor, PathElement, RGBAColor, RGBColor, ShapeStyle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{IntoFont, TextStyle};
use shmlock_bench_support::Result;

use super::Area;
use crate::contenders::Kind;

/// The width of what is written at the right of lines.
pub(super) const LEGEND: u32 = 190;

/// The contender's own: ours are blue, the reference is black, the control is grey.
pub(super) fn colour(kind: Kind) -> RGBAColor {
    // Where it is among its like, from 0 to 1; neighbours in the tables differ in lightness as
    // well.
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
        // All hues but blue, which lies around 0.6.
        _ => HSLColor((0.72 + 0.8 * like) % 1.0, 0.8, if is_odd { 0.35 } else { 0.55 }).to_rgba(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "some dozens")]
fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

/// A line in the contender's colour; thick if it is ours or the reference.
pub(super) fn stroke(kind: Kind) -> ShapeStyle {
    let is_wanted = kind == Kind::BareFutex || kind == Kind::OursFutex;
    ShapeStyle { color: colour(kind), filled: true, stroke_width: if is_wanted { 3 } else { 1 } }
}

/// Text of this size, with this point of it at the place where it is drawn.
pub(super) fn text(size: i32, anchor: HPos) -> TextStyle<'static> {
    TextStyle::from(("sans-serif", size).into_font()).pos(Pos::new(anchor, VPos::Center))
}

/// Names the lines, from top to bottom as they end, in the space at the right.
pub(super) fn legend(area: &Area<'_>, kinds: &[Kind]) -> Result<()> {
    for (kind, line) in kinds.iter().zip(0..) {
        let y = 50 + 22 * line;
        area.draw(&PathElement::new([(8, y), (32, y)], stroke(*kind)))?;
        area.draw_text(kind.label(), &text(14, HPos::Left), (40, y))?;
    }
    Ok(())
}
