//! C: throughput, fairness, processor time and acquire times of many processes.
//!
//! There are two runs. Throughput, fairness and processor time come from a run in which no worker
//! reads a clock, the acquire times from a run in which every worker does.

use std::time::Duration;

use shmlock_bench_support::Result;
use shmlock_bench_support::histogram::quantile;

use super::{Effort, Metric, Unit};
use crate::contenders::Kind;
use crate::results::Measured;
use crate::statistics::float;
use crate::team::{Run, run};
use crate::worker::Duty;

pub(super) const METRICS: [Metric; 8] = [
    ("sections", Unit::Rate),
    ("fewest/most", Unit::Plain),
    ("CPU/section", Unit::Time),
    ("sleeps/section", Unit::Plain),
    ("acquire p50", Unit::Time),
    ("p99", Unit::Time),
    ("p99.9", Unit::Time),
    ("max", Unit::Time),
];

/// Returns the window. With work, several time slices of the kernel pass in it: a rare preemption
/// of an owner is what makes the longest wait. Each of many processes should have several slices.
fn window(effort: Effort, processes: usize, work: bool, timed: bool) -> Duration {
    match (work, processes >= 15 && !timed) {
        (true, true) => effort.millis(50, 1000),
        (true, false) => effort.millis(25, 300),
        (false, _) => effort.millis(25, 75),
    }
}

pub(super) fn measure(
    kind: Kind,
    effort: Effort,
    processes: usize,
    work: bool,
) -> Result<Measured> {
    let turns = if work { effort.microsecond } else { 0 };
    let run_all = |duty, timed| {
        let window = window(effort, processes, work, timed);
        run(kind, Run { duties: &vec![duty; processes], turns, window, ..Run::default() })
    };
    let plain = run_all(Duty::Turns, false)?;
    let timed = run_all(Duty::TimedTurns, true)?;
    let sections: u64 = plain.counted.iter().sum();
    let (fewest, most) = (plain.counted.iter().min().copied(), plain.counted.iter().max().copied());
    // NaN if no worker acquired the lock in the window: the table shows a dash.
    let at = |permille| {
        quantile(&timed.waits, permille).map_or(f64::NAN, |wait| float(wait.min(timed.longest)))
    };
    let mut values = vec![
        float(sections) / plain.seconds,
        float(fewest.unwrap_or(0)) / float(most.unwrap_or(0).max(1)),
        float(plain.cpu) / float(sections.max(1)),
        float(plain.sleeps) / float(sections.max(1)),
    ];
    values.extend([500, 990, 999, 1000].map(at));
    Ok(Measured {
        values,
        lost: plain.lost + timed.lost,
        waits: timed.waits,
        ..Measured::default()
    })
}
