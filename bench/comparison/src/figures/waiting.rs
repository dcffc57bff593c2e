//! W: what does it cost to wait, by itself? Some processes wait for a lock that one holds all the
//! time.

use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use shmlock_bench_support::Result;

use super::{Effort, Metric, Unit, float};
use crate::board::state;
use crate::clock::now;
use crate::contenders::Kind;
use crate::place::Prepared;
use crate::results::Measured;
use crate::team::{Run, Team};
use crate::worker::Duty;

/// For each second of each waiter.
pub(super) const METRICS: [Metric; 2] = [("CPU/s", Unit::Time), ("sleeps/s", Unit::Plain)];

pub(super) const WAITERS: usize = 4;

/// How long they may take to come to where they wait. Milliseconds are enough, but for machines
/// that are busy.
const BOUND: Duration = Duration::from_secs(10);

pub(super) fn measure(kind: Kind, effort: Effort) -> Result<Measured> {
    let place = Prepared::new(kind)?;
    let mut duties = [Duty::Wait; 1 + WAITERS];
    duties[0] = Duty::Hold;
    let mut team = Team::start(kind, Run { duties: &duties, ..Run::default() }, place.place())?;
    team.meet()?; // all have opened it
    for (order, arrivals) in [(state::RUN, 1), (state::MEASURE, WAITERS)] {
        team.board.order(order);
        if !team.meet_some(u32::try_from(arrivals)?, BOUND) {
            return Err("the holder, or a waiter, does not come to where it should".into());
        }
    }
    thread::sleep(effort.millis(300, 1000)); // this is what is measured, it orders nothing
    let stopped_at = now();
    team.board.order(state::STOP);
    team.meet()?; // all have had it, and reported
    let outcome = team.account(0.0);
    outcome.check(kind)?;
    let waiters = &team.board.rows[1..=WAITERS];
    if waiters.iter().any(|row| row.owned_at.load(Relaxed) < stopped_at) {
        return Err("had the lock while another held it".into());
    }
    let waited: u64 =
        waiters.iter().map(|row| row.owned_at.load(Relaxed) - row.asked_at.load(Relaxed)).sum();
    let per_second = |value: u64| float(value) * 1e9 / float(waited.max(1));
    Ok(Measured::values(vec![per_second(outcome.cpu), per_second(outcome.sleeps)]))
}
