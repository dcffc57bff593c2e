//! O, of many handles of one name in one process: the time to open and use them all, and to close
//! them. If it grows faster than their number, the last fifth takes longer than the first.

use shmlock_bench_support::Result;

use super::{Metric, Unit};
use crate::clock::now;
use crate::contenders::{Contender, Kind, Task};
use crate::limits::Needs;
use crate::place::Place;
use crate::prepared::Prepared;
use crate::results::Measured;
use crate::statistics::float;
use crate::team::Keeper;

pub(super) const METRICS: [Metric; 4] = [
    ("all", Unit::Time),
    ("open and use", Unit::Time),
    ("close", Unit::Time),
    ("last/first 1/5", Unit::Plain),
];

/// The parts of which the first and the last are compared.
const PARTS: usize = 5;

pub(super) fn measure(kind: Kind, handles: usize) -> Result<Measured> {
    let number = u64::try_from(handles)?;
    let needs = Needs {
        descriptors: number + 100,
        mappings: 2 * number + 1000,
        memory: number * (8 << 10),
        ..Needs::default()
    };
    if let Some(reason) = needs.refusal() {
        return Ok(Measured::skipped(reason, METRICS.len()));
    }
    let place = Prepared::new(kind)?;
    let _keeper = Keeper::start(kind, place.place())?; // the name exists before and after
    Ok(Measured::values(kind.dispatch(Handles { place: place.place(), number: handles })?))
}

struct Handles<'a> {
    place: &'a Place,
    number: usize,
}

impl Task for Handles<'_> {
    type Output = Result<Vec<f64>>;

    fn run<C: Contender>(self) -> Result<Vec<f64>> {
        let mut open = Vec::with_capacity(self.number);
        let mut times = Vec::with_capacity(PARTS);
        for _ in 0..PARTS {
            let begin = now();
            for _ in 0..self.number / PARTS {
                let mut contender = C::open(self.place)?;
                contender.locked(|| ())?;
                open.push(contender);
            }
            times.push(float(now() - begin));
        }
        let begin = now();
        drop(open);
        let closing = float(now() - begin);
        let opening: f64 = times.iter().sum();
        Ok(vec![opening + closing, opening, closing, growth(&times)])
    }
}

/// Returns the ratio of the last time to the first; NaN if there are none.
fn growth(times: &[f64]) -> f64 {
    match times {
        [first, .., last] => last / first,
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_relates_the_last_part_to_the_first() {
        assert!((growth(&[2.0, 9.0, 3.0]) - 1.5).abs() < 1e-9);
        assert!(growth(&[]).is_nan());
    }
}
