//! R: how long does it take from the death of who holds the lock, by SIGKILL, until who waits for
//! it has it?
//!
//! Several pairs of processes, each with a lock of its own, wait at the same time, and their
//! holders are killed one after the other. Who looks from time to time is met at another moment in
//! each pair: the waits differ by up to a tenth.

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
use crate::statistics::{median, range};
use crate::team::{Run, Team};
use crate::worker::Duty;

pub(super) const METRICS: [Metric; 2] = [("median", Unit::Time), ("max", Unit::Time)];

/// What takes longer is never.
const BOUND: Duration = Duration::from_secs(2);

/// How long the two may take to come to where they wait. Milliseconds are enough, but for machines
/// that are busy.
const START: Duration = Duration::from_secs(10);

/// So long between one pair and the next, or a little more: no pair's recovery disturbs that of
/// another.
const APART: Duration = Duration::from_millis(60);

pub(super) fn measure(kind: Kind, effort: Effort, waited: Duration) -> Result<Measured> {
    if !kind.recovers() {
        return Ok(Measured::values(vec![f64::INFINITY; METRICS.len()])); // known without trying
    }
    let pairs = effort.pick(2, if waited < APART { 9 } else { 3 });
    // A tenth of the wait, or 100 ms, which is the longest interval of those who look from time to
    // time.
    let spread = (waited / 10).min(Duration::from_millis(100));
    let waits = (0..pairs).map(|pair| waited + spread * (2 * pair + 1) / (2 * pairs));
    let times = if waited < APART {
        waits.map(|wait| Pair::start(kind)?.recover(wait)).collect::<Result<Vec<f64>>>()?
    } else {
        let pairs = waits.map(|wait| {
            let pair = Pair::start(kind)?;
            thread::sleep(APART); // so that they do not die at one time
            Ok((pair, wait))
        });
        let pairs = pairs.collect::<Result<Vec<_>>>()?;
        pairs.into_iter().map(|(pair, wait)| pair.recover(wait)).collect::<Result<_>>()?
    };
    let (_, max) = range(&times);
    Ok(Measured::values(vec![median(times), max]))
}

/// Two processes: one holds the lock, the other waits for it.
struct Pair {
    kind: Kind,
    // Before the place: the processes are gone when that is removed.
    team: Team,
    _place: Prepared,
}

const HOLDER: usize = 0;
const WAITER: usize = 1;

impl Pair {
    /// Starts them, until the one holds it and the other begins to wait.
    fn start(kind: Kind) -> Result<Self> {
        let place = Prepared::new(kind)?;
        let duties = &[Duty::Hold, Duty::Wait];
        let mut team = Team::start(kind, Run { duties, ..Run::default() }, place.place())?;
        team.meet()?; // both have opened it
        for order in [state::RUN, state::MEASURE] {
            team.board.order(order);
            if !team.meet_some(1, START) {
                return Err("the holder, or the waiter, does not come to where it should".into());
            }
        }
        Ok(Self { kind, team, _place: place })
    }

    /// Kills the one when the other has waited for so long, and answers how long that one needs to
    /// have the lock, in nanoseconds.
    fn recover(mut self, waited: Duration) -> Result<f64> {
        let asked_at = self.team.board.rows[WAITER].asked_at.load(Relaxed); // written before the arrival
        let passed = Duration::from_nanos(now() - asked_at);
        thread::sleep(waited.saturating_sub(passed)); // this is what is measured, it orders nothing
        let killed_at = self.team.kill(HOLDER)?;
        if !self.team.meet_some(1, BOUND) {
            return Ok(f64::INFINITY);
        }
        self.team.account(0.0).check(self.kind)?;
        let owned_at = self.team.board.rows[WAITER].owned_at.load(Relaxed); // as `asked_at`
        let time = owned_at.checked_sub(killed_at).ok_or("had the lock while another held it")?;
        Ok(float(time))
    }
}
