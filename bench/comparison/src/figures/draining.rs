//! D: the time from a release until every process of a crowd of waiters has acquired the lock once
//! and ended; and before, the time from the start of the first process until all wait.

use std::thread;

use shmlock_bench_support::Result;

use super::{Effort, Metric, Unit};
use crate::clock::now;
use crate::contenders::Kind;
use crate::crowd::{Crowd, Size};
use crate::results::Measured;
use crate::statistics::float;

pub(super) const METRICS: [Metric; 3] =
    [("all ended", Unit::Time), ("last acquired", Unit::Time), ("all waiting", Unit::Time)];

pub(super) fn measure(kind: Kind, effort: Effort, processes: u32) -> Result<Measured> {
    let size = Size::processes(processes);
    if let Some(reason) = size.refusal() {
        return Ok(Measured::skipped(reason, METRICS.len()));
    }
    let begin = now();
    let crowd = Crowd::start(kind, size)?;
    let waiting = float(now() - begin);
    thread::sleep(effort.millis(100, 1000)); // a parameter: the waiters fall asleep
    let drained = crowd.drain()?;
    Ok(Measured::values(vec![float(drained.ended), float(drained.acquired), waiting]))
}
