//! W: the wake-ups and the processor time of waiters, while the lock stands still.
//!
//! The values are of all waiting processes together, and of the owner nothing. The window begins
//! when the waiters have had time to fall asleep, and ends before the release.

use std::thread;
use std::time::Duration;

use shmlock_bench_support::Result;

use super::{Effort, Metric, Unit};
use crate::contenders::Kind;
use crate::crowd::{Crowd, Size};
use crate::results::Measured;
use crate::statistics::float;
use crate::tasks::Rates;

/// All for each second: of all waiters together, then the mean of each.
pub(super) const METRICS: [Metric; 4] = [
    ("wake-ups/s", Unit::Plain),
    ("CPU/s", Unit::Time),
    ("each: wakes/s", Unit::Plain),
    ("each: CPU/s", Unit::Time),
];

/// The waiters of the poll sweep.
pub(crate) const SWEPT: Size = Size::processes(4);

/// From this number on, a crowd needs longer to fall asleep.
const MANY: u32 = 100;

pub(super) fn measure(kind: Kind, effort: Effort, size: Size) -> Result<Measured> {
    if let Some(reason) = size.refusal() {
        return Ok(Measured::skipped(reason, METRICS.len()));
    }
    let crowd = Crowd::start(kind, size)?;
    // Both are parameters of the measurement; they order nothing.
    thread::sleep(if size.waiters() < MANY {
        effort.millis(100, 500)
    } else {
        effort.millis(500, 2000)
    });
    let before = crowd.samples()?;
    thread::sleep(window(effort));
    let after = crowd.samples()?;
    let used: Rates = after.iter().zip(&before).map(|(after, before)| after.since(before)).sum();
    crowd.drain()?;
    let waiters = float(u64::from(size.waiters()));
    Ok(Measured::values(vec![used.wake_ups, used.cpu, used.wake_ups / waiters, used.cpu / waiters]))
}

/// Returns the window: long enough for some timers of a second.
fn window(effort: Effort) -> Duration {
    effort.millis(300, 3000)
}
