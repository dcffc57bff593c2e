//! S: the measurement of the Python package.
//!
//! Fifteen processes do a thousand increments each, as fast as possible. Each measures every lock,
//! add and unlock. A measurement is the mean of several such runs, and the longest time of all.

use shmlock_bench_support::Result;

use super::{Effort, Metric, Unit};
use crate::contenders::Kind;
use crate::results::Measured;
use crate::statistics::float;
use crate::team::{Run, run};
use crate::worker::Duty;

pub(super) const METRICS: [Metric; 2] = [("mean", Unit::Time), ("max", Unit::Time)];

const PROCESSES: usize = 15;
const INCREMENTS: u64 = 1000;

/// How many runs a measurement takes. One run lasts about a time slice of the kernel, so its mean
/// depends on which process the kernel preempts.
const RUNS: u64 = 5;

pub(super) fn measure(kind: Kind, effort: Effort) -> Result<Measured> {
    let runs = effort.pick(1, RUNS);
    let (mut total, mut longest, mut lost) = (0, 0, 0);
    for _ in 0..runs {
        let run_once =
            Run { duties: &[Duty::Share; PROCESSES], share: INCREMENTS, ..Run::default() };
        let outcome = run(kind, run_once)?;
        total += outcome.total;
        longest = outcome.longest.max(longest);
        lost += outcome.lost;
    }
    let mean = float(total) / float(runs * INCREMENTS * PROCESSES as u64);
    Ok(Measured { values: vec![mean, float(longest)], lost, ..Measured::default() })
}
