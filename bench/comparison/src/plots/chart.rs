//! Draws lines on logarithmic axes: few grid lines, and each contender's name at the end of its
//! line. One picture has one panel, or several beside each other with one scale.

use plotters::prelude::{Circle, PathElement};
use plotters::style::Color;
use plotters::style::text_anchor::HPos;
use shmlock_bench_support::Result;

use super::Area;
use super::scale::{Scale, around, label, spread, ticks};
use super::style::{AXIS, GREY, GRID, colour, stroke, text, title};
use crate::contenders::Kind;
use crate::figures::Unit;

/// The values of one contender.
pub(super) struct Line {
    pub(super) kind: Kind,
    /// From left to right. A value that is not finite has no point.
    pub(super) points: Vec<(f64, f64)>,
}

impl Line {
    /// Returns the contender's name with the last value; `None` if there is no value.
    fn name(&self, unit: Unit) -> Option<String> {
        let value = self.points.iter().rev().map(|point| point.1).find(|value| value.is_finite());
        Some(format!("{}: {}", self.kind.label(), label(value?, unit)))
    }
}

/// One pair of axes.
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) x_name: &'static str,
    /// The values on the horizontal axis, with their labels.
    pub(super) x_ticks: Vec<(f64, String)>,
    pub(super) lines: Vec<Line>,
}

/// The whole picture.
pub(super) struct Picture {
    pub(super) title: String,
    /// What the vertical axis shows, and which direction is better.
    pub(super) remark: String,
    pub(super) unit: Unit,
    /// Zero is a value, and the axis begins at one.
    pub(super) has_zero: bool,
    pub(super) panels: Vec<Panel>,
}

/// Width and height of a picture with one panel.
const SINGLE: (u32, u32) = (900, 500);
/// Width and height of a picture with two.
const DOUBLE: (u32, u32) = (1280, 500);

/// The margins of a panel: for the title, the horizontal axis, and the labels of the vertical axis.
const TOP: i32 = 100;
const BOTTOM: i32 = 56;
const LEFT: i32 = 80;
/// The height of the place for zero.
const ZERO: i32 = 36;
/// The distance of the outermost points to the ends of the horizontal axis.
const INSET: i32 = 18;
/// The distance of two names.
const LEADING: i32 = 19;
/// The width of a letter of a name, at most in the mean, and the distance of a name to its line.
const LETTER: i32 = 8;
const GAP: i32 = 22;

impl Picture {
    /// Returns width and height.
    pub(super) fn size(&self) -> (u32, u32) {
        if self.panels.len() > 1 { DOUBLE } else { SINGLE }
    }

    /// Draws everything. Draws nothing if there are no values.
    pub(super) fn draw(&self, area: &Area<'_>) -> Result<()> {
        let values = || {
            let lines = self.panels.iter().flat_map(|panel| &panel.lines);
            lines.flat_map(|line| &line.points).map(|point| point.1)
        };
        let lowest = self.has_zero.then_some(1.0);
        let Some(range) = around(values().chain(lowest)) else { return Ok(()) };
        let (width, height) = area.dim_in_pixel();
        let (width, height) = (i32::try_from(width)?, i32::try_from(height)?);
        area.draw_text(&self.title, &title(23), (20, 26))?;
        area.draw_text(&self.remark, &text(16, HPos::Left).color(&GREY), (20, 52))?;
        let lines = self.panels.iter().flat_map(|panel| &panel.lines);
        let names = lines.filter_map(|line| Some(line.name(self.unit)?.chars().count()));
        let names = GAP + LETTER * i32::try_from(names.max().unwrap_or(0))?;
        let count = i32::try_from(self.panels.len())?;
        for (panel, number) in self.panels.iter().zip(0..) {
            let frame = Frame {
                left: width * number / count + LEFT,
                right: width * (number + 1) / count - names,
                top: TOP,
                bottom: height - BOTTOM,
            };
            let low = frame.bottom - if self.has_zero { ZERO } else { 0 };
            let scale = Scale::new(range, (low, frame.top));
            let scale = if self.has_zero { scale.with_zero(frame.bottom) } else { scale };
            panel.draw(area, &frame, self.unit, &scale, &self.marks(range))?;
        }
        Ok(())
    }

    /// Returns the values with a grid line.
    fn marks(&self, range: (f64, f64)) -> Vec<f64> {
        self.has_zero.then_some(0.0).into_iter().chain(ticks(range)).collect()
    }
}

/// The place of the two axes, in pixels.
struct Frame {
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
}

impl Panel {
    fn draw(
        &self,
        area: &Area<'_>,
        frame: &Frame,
        unit: Unit,
        y: &Scale,
        marks: &[f64],
    ) -> Result<()> {
        let Frame { left, right, top, bottom } = *frame;
        area.draw_text(&self.title, &text(17, HPos::Left), (left, top - 20))?;
        for mark in marks {
            let (height, name) = (y.at(*mark), label(*mark, unit));
            area.draw(&PathElement::new([(left, height), (right, height)], GRID))?;
            area.draw_text(&name, &text(15, HPos::Right), (left - 8, height))?;
        }
        area.draw(&PathElement::new([(left, bottom), (right, bottom)], AXIS))?;
        let ends = |one: &[(f64, String)]| {
            Some((one.first()?.0, one.last()?.0)).map(|ends| (ends, (left + INSET, right - INSET)))
        };
        let Some((range, pixels)) = ends(&self.x_ticks) else { return Ok(()) };
        let x = Scale::new(range, pixels);
        for (value, name) in &self.x_ticks {
            let place = x.at(*value);
            area.draw(&PathElement::new([(place, bottom), (place, bottom + 5)], AXIS))?;
            area.draw_text(name, &text(15, HPos::Center), (place, bottom + 17))?;
        }
        let middle = (left + right) / 2;
        let style = text(15, HPos::Center).color(&GREY);
        area.draw_text(self.x_name, &style, (middle, bottom + 38))?;
        let mut ends = Vec::new();
        for line in &self.lines {
            let points: Vec<(i32, i32)> = line
                .points
                .iter()
                .filter(|point| point.1.is_finite())
                .map(|(along, value)| (x.at(*along), y.at(*value)))
                .collect();
            area.draw(&PathElement::new(points.clone(), stroke(line.kind)))?;
            for point in &points {
                area.draw(&Circle::new(*point, 4, colour(line.kind).filled()))?;
            }
            if let (Some(end), Some(name)) = (points.last(), line.name(unit)) {
                ends.push((*end, line.kind, name));
            }
        }
        name_ends(area, frame, ends)
    }
}

/// Writes each contender's name and last value beside the end of its line.
fn name_ends(
    area: &Area<'_>,
    frame: &Frame,
    mut ends: Vec<((i32, i32), Kind, String)>,
) -> Result<()> {
    ends.sort_by_key(|((_, height), ..)| *height);
    let wanted: Vec<i32> = ends.iter().map(|((_, height), ..)| *height).collect();
    let places = spread(&wanted, LEADING, (frame.top - LEADING, frame.bottom));
    for (((along, height), kind, name), place) in ends.into_iter().zip(places) {
        // A short line leads to a name that could not stand beside its end.
        let lead = [(along + 6, height), (frame.right + 6, height), (frame.right + 18, place)];
        let colour = colour(kind);
        area.draw(&PathElement::new(lead, colour.mix(0.5).stroke_width(1)))?;
        let font = if kind == Kind::OursFutex { title(17) } else { text(17, HPos::Left) };
        let style = font.color(&colour);
        area.draw_text(&name, &style, (frame.right + GAP, place))?;
    }
    Ok(())
}
