//! S: the measurement of the Python package.
//!
//! Fifteen processes do a thousand increments each, as fast as possible. Each measures every lock,
//! add and unlock.

use shmlock_bench_support::Result;

use super::{Metric, Unit};
use crate::contenders::Kind;
use crate::results::Measured;
use crate::statistics::float;
use crate::team::{Run, run};
use crate::worker::Duty;

pub(super) const METRICS: [Metric; 2] = [("mean", Unit::Time), ("max", Unit::Time)];

const PROCESSES: usize = 15;
const INCREMENTS: u64 = 1000;

pub(super) fn measure(kind: Kind) -> Result<Measured> {
    let outcome =
        run(kind, Run { duties: &[Duty::Share; PROCESSES], share: INCREMENTS, ..Run::default() })?;
    let mean = float(outcome.total) / float(INCREMENTS * PROCESSES as u64);
    Ok(Measured {
        values: vec![mean, float(outcome.longest)],
        lost: outcome.lost,
        ..Measured::default()
    })
}
