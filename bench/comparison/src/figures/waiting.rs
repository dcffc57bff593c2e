//! W: the processor time and the sleeps of processes that wait for a lock held all the time.

use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use shmlock_bench_support::Result;

use super::{Effort, Metric, Unit, float};
use crate::board::state;
use crate::clock::now;
use crate::contenders::Kind;
use crate::prepared::Prepared;
use crate::results::Measured;
use crate::team::{Run, Team};
use crate::worker::Duty;

/// Both for each second of each waiter.
pub(super) const METRICS: [Metric; 2] = [("CPU/s", Unit::Time), ("sleeps/s", Unit::Plain)];

pub(super) const WAITERS: usize = 4;

/// The bound on the start of the waits. Milliseconds suffice on a machine that is not busy.
const BOUND: Duration = Duration::from_secs(10);

pub(super) fn measure(kind: Kind, effort: Effort) -> Result<Measured> {
    let place = Prepared::new(kind)?;
    let mut duties = [Duty::Wait; 1 + WAITERS];
    duties[0] = Duty::Hold;
    let mut team = Team::start(kind, Run { duties: &duties, ..Run::default() }, place.place())?;
    team.meet()?; // all have opened the lock
    for (order, arrivals) in [(state::RUN, 1), (state::MEASURE, WAITERS)] {
        team.board.order(order);
        if !team.meet_some(u32::try_from(arrivals)?, BOUND) {
            return Err(
                "the owner does not acquire the lock, or a waiter does not start to wait".into()
            );
        }
    }
    thread::sleep(effort.millis(300, 1000)); // the window; it orders nothing
    let stopped_at = now();
    team.board.order(state::STOP);
    team.meet()?; // all have acquired and reported
    let outcome = team.account(0.0);
    outcome.check(kind)?;
    let waiters = &team.board.rows[1..=WAITERS];
    if waiters.iter().any(|row| row.owned_at.load(Relaxed) < stopped_at) {
        return Err("acquired the lock while another process held it".into());
    }
    let waited: u64 =
        waiters.iter().map(|row| row.owned_at.load(Relaxed) - row.asked_at.load(Relaxed)).sum();
    let per_second = |value: u64| float(value) * 1e9 / float(waited.max(1));
    Ok(Measured::values(vec![per_second(outcome.cpu), per_second(outcome.sleeps)]))
}
