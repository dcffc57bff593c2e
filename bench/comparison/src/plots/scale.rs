//! Maps values to pixels on a logarithmic axis, and selects the few values that get a grid line.

use crate::figures::Unit;
use crate::table::show;

/// The length of an axis, in decades, from which on only the decades get a grid line.
const LONG: f64 = 2.5;

/// The steps within a decade.
const STEPS: [f64; 3] = [1.0, 2.0, 5.0];

/// The room for rounding errors: no two steps are as close.
const CLOSE: f64 = 1.0 + 1e-9;

/// A logarithmic axis, with a place for zero if asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    range: (f64, f64),
    pixels: (i32, i32),
    zero: Option<i32>,
}

impl Scale {
    /// Makes an axis from the first pixel to the last. Both values are positive.
    pub(super) fn new(range: (f64, f64), pixels: (i32, i32)) -> Self {
        Self { range, pixels, zero: None }
    }

    /// Gives zero a place, which no logarithmic axis has.
    pub(super) fn with_zero(self, pixel: i32) -> Self {
        Self { zero: Some(pixel), ..self }
    }

    /// Returns the pixel of a value. A value outside the axis goes to its nearer end.
    #[expect(clippy::cast_possible_truncation, reason = "between the pixels of the ends")]
    pub(super) fn at(&self, value: f64) -> i32 {
        if let (Some(zero), true) = (self.zero, value <= 0.0) {
            return zero;
        }
        let (low, high) = self.range;
        let (first, last) = self.pixels;
        let part = (value.clamp(low, high) / low).ln() / (high / low).ln();
        // A single value has an axis without length.
        let part = if part.is_finite() { part } else { 0.5 };
        first + (part * f64::from(last - first)).round() as i32
    }
}

/// Returns the nearest steps around all positive finite values; `None` if there are none. A long
/// axis begins and ends at a decade.
pub(super) fn around(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let values = values.into_iter().filter(|value| *value > 0.0 && value.is_finite());
    let (least, greatest) = values.fold((f64::INFINITY, 0.0_f64), |(least, greatest), value| {
        (least.min(value), greatest.max(value))
    });
    if greatest <= 0.0 {
        return None;
    }
    let near = |steps: &[f64]| (below(least, steps), above(greatest, steps));
    let short = near(&STEPS);
    Some(if (short.1 / short.0).log10() > LONG { near(&STEPS[..1]) } else { short })
}

/// Returns the values with a grid line: the decades, and 2 and 5 between them on a short axis.
pub(super) fn ticks((low, high): (f64, f64)) -> Vec<f64> {
    let steps: &[f64] = if (high / low).log10() > LONG { &STEPS[..1] } else { &STEPS };
    all(low, high, steps).filter(|tick| low <= tick * CLOSE && *tick <= high * CLOSE).collect()
}

/// Returns the greatest step that is at most `value`.
fn below(value: f64, steps: &[f64]) -> f64 {
    all(value, value, steps).filter(|step| *step <= value * CLOSE).fold(0.0, f64::max)
}

/// Returns the least step that is at least `value`.
fn above(value: f64, steps: &[f64]) -> f64 {
    all(value, value, steps).filter(|step| step * CLOSE >= value).fold(f64::INFINITY, f64::min)
}

/// Returns the steps of all decades that touch the range.
#[expect(clippy::cast_possible_truncation, reason = "logarithms of positive finite values")]
fn all(low: f64, high: f64, steps: &[f64]) -> impl Iterator<Item = f64> {
    let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
    decades.flat_map(move |decade| steps.iter().map(move |step| step * 10_f64.powi(decade)))
}

/// Writes the microsecond of a title or a value with its own letter, which terminals may lack.
pub(super) fn micro(text: &str) -> String {
    let words = text.split(' ').map(|word| if word == "us" { "µs" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

/// Formats the value of a grid line, without zeros at the end. Zero needs no unit.
pub(super) fn label(value: f64, unit: Unit) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let text = micro(&show(value, unit));
    match text.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text,
    }
}

/// Moves texts apart that want these places along a line, so that neighbours keep their order and
/// this distance, and as few texts as possible move. The places ascend.
pub(super) fn spread(wanted: &[i32], distance: i32, (first, last): (i32, i32)) -> Vec<i32> {
    // Blocks of neighbours that touch each other: the sum of the places that the block's first text
    // would have for each of its texts, and their number.
    let mut blocks: Vec<(i32, i32)> = Vec::new();
    let mean = |(sum, number): (i32, i32)| sum / number;
    for (place, number) in wanted.iter().zip(0..) {
        let mut block = (place - number * distance, 1);
        while let Some(previous) = blocks.last().copied().filter(|last| mean(*last) >= mean(block))
        {
            blocks.pop();
            block = (previous.0 + block.0, previous.1 + block.1);
        }
        blocks.push(block);
    }
    let starts = blocks.into_iter().flat_map(|block| (0..block.1).map(move |_| mean(block)));
    let mut places: Vec<i32> =
        starts.zip(0..).map(|(start, number)| start + number * distance).collect();
    // Into the range: from its last place up, then from its first place down.
    let mut bound = last;
    for place in places.iter_mut().rev() {
        *place = (*place).min(bound);
        bound = *place - distance;
    }
    let mut bound = first;
    for place in &mut places {
        *place = (*place).max(bound);
        bound = *place + distance;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(found: &[f64], wanted: &[f64]) -> bool {
        found.len() == wanted.len()
            && found.iter().zip(wanted).all(|(one, other)| (one / other - 1.0).abs() < 1e-9)
    }

    fn same_range(found: Option<(f64, f64)>, wanted: (f64, f64)) -> bool {
        found.is_some_and(|found| same(&[found.0, found.1], &[wanted.0, wanted.1]))
    }

    #[test]
    fn a_short_axis_has_lines_at_1_2_and_5_and_a_long_one_at_the_decades() {
        assert!(same(&ticks((5e4, 2e6)), &[5e4, 1e5, 2e5, 5e5, 1e6, 2e6]));
        assert!(same(&ticks((1e3, 1e7)), &[1e3, 1e4, 1e5, 1e6, 1e7]));
        assert!(same(&ticks((1e-7, 1.0)), &[1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1.0]));
    }

    #[test]
    fn an_axis_begins_and_ends_at_a_line() {
        assert!(same_range(around([70e3, 1.9e6, f64::INFINITY, 0.0]), (5e4, 2e6)));
        assert!(same_range(around([300.0, 60e6]), (100.0, 1e8)));
        assert!(same_range(around([2.0, 5.0]), (2.0, 5.0)));
        assert!(around([0.0, f64::NAN]).is_none());
    }

    #[test]
    fn equal_factors_are_equal_distances_and_zero_has_a_place_of_its_own() {
        let scale = Scale::new((1.0, 100.0), (200, 0)).with_zero(230);
        assert_eq!([1.0, 10.0, 100.0].map(|value| scale.at(value)), [200, 100, 0]);
        assert_eq!([0.0, 0.5, 1e9].map(|value| scale.at(value)), [230, 200, 0]);
        assert_eq!(Scale::new((3.0, 3.0), (0, 10)).at(3.0), 5);
    }

    #[test]
    fn lines_have_labels_without_zeros_at_the_end() {
        assert_eq!(label(1e6, Unit::Rate), "1 M/s");
        assert_eq!(label(200e3, Unit::Rate), "200 k/s");
        assert_eq!(label(1e4, Unit::Time), "10 µs");
        assert_eq!(label(0.0, Unit::Rate), "0");
        assert_eq!(micro("1 us of work is used"), "1 µs of work is used");
    }

    #[test]
    fn texts_move_apart_around_their_places_and_stay_in_the_range() {
        assert_eq!(spread(&[10, 50, 90], 16, (0, 100)), [10, 50, 90]);
        assert_eq!(spread(&[50, 50, 50], 16, (0, 100)), [34, 50, 66]);
        assert_eq!(spread(&[100, 100, 100], 16, (0, 100)), [68, 84, 100]);
        assert_eq!(spread(&[0, 1], 16, (0, 100)), [0, 16]);
        assert_eq!(spread(&[], 16, (0, 100)), [0; 0]);
    }
}
