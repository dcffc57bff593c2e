//! H: the time from the call to release to the first instruction of the waiter's critical section.
//!
//! Either the waiter has just arrived and still spins, if it spins at all. Or it has been asleep
//! for a while, and its CPU is idle.

use std::time::Duration;

use shmlock_bench_support::Result;
use shmlock_bench_support::histogram::quantile;

use super::{Effort, Metric, Unit};
use crate::contenders::Kind;
use crate::results::Measured;
use crate::statistics::float;
use crate::team::{Run, run};
use crate::worker::Duty;

pub(super) const METRICS: [Metric; 5] = [
    ("p50", Unit::Time),
    ("mean", Unit::Time),
    ("p99", Unit::Time),
    ("max", Unit::Time),
    ("hand-offs", Unit::Count),
];

/// Measures it for a waiter with this mean sleep; zero if it has just arrived.
pub(super) fn measure(kind: Kind, effort: Effort, asleep: Duration) -> Result<Measured> {
    let outcome = run(
        kind,
        Run {
            duties: &[Duty::Release, Duty::Acquire],
            // The time for a waiter that has just arrived to begin to wait: less than any contender
            // spins, and enough for a contender without spinning to call the kernel.
            turns: effort.microsecond,
            sleep: asleep,
            share: 10_000,
            window: effort.millis(100, 250).max(asleep * effort.pick(20, 100)),
            ..Run::default()
        },
    )?;
    let at = |permille| {
        quantile(&outcome.waits, permille).map_or(f64::NAN, |time| float(time.min(outcome.longest)))
    };
    let number = float(outcome.waits.iter().sum());
    Ok(Measured {
        values: vec![
            at(500),
            float(outcome.total) / number,
            at(990),
            float(outcome.longest),
            number,
        ],
        lost: outcome.lost,
        ..Measured::default()
    })
}
