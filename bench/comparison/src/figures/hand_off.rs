//! H: how long is the lock nobody's when one gives it and another waits for it?
//!
//! From the moment before the giving to the first one in the other's section. Either the other has
//! just arrived, so that it is still awake if it spins at all; or it has been asleep for a while,
//! and its core with it.

use std::time::Duration;

use shmlock_bench_support::Result;

use super::{Effort, Metric, Unit, float};
use crate::contenders::Kind;
use crate::histogram::quantile;
use crate::results::Measured;
use crate::team::{Run, run};
use crate::worker::Duty;

pub(super) const METRICS: [Metric; 5] = [
    ("p50", Unit::Time),
    ("mean", Unit::Time),
    ("p99", Unit::Time),
    ("max", Unit::Time),
    ("hand-offs", Unit::Count),
];

/// Measures it, with one who has been asleep for that long on average; zero if it has just arrived.
pub(super) fn measure(kind: Kind, effort: Effort, asleep: Duration) -> Result<Measured> {
    let outcome = run(
        kind,
        Run {
            duties: &[Duty::Give, Duty::Take],
            // How long the one that has just arrived is given to begin to wait: less than anybody
            // spins who spins, and more than it takes the others to be on their way to sleep.
            turns: effort.microsecond,
            sleep: asleep,
            share: 10_000,
            window: effort.millis(100, 250).max(asleep * effort.pick(20, 100)),
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
