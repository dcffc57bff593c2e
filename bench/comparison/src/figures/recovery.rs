//! R: the time from the death of the owner, by SIGKILL, to the waiter's acquisition.
//!
//! The owner is small, or has memory that the kernel frees at its death, page by page.
//!
//! Several pairs of processes, each with a lock of its own, wait at the same time, and their owners
//! are killed in turn. The waits differ by up to a tenth, so that the deaths occur at different
//! points of a waiter's probe interval.

use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use shmlock_bench_support::Result;

use super::{Effort, Metric, Unit};
use crate::board::state;
use crate::clock::now;
use crate::contenders::Kind;
use crate::limits::Needs;
use crate::prepared::Prepared;
use crate::results::Measured;
use crate::statistics::{float, median, quantile, range};
use crate::team::{Run, Team};
use crate::worker::Duty;

pub(super) const METRICS: [Metric; 4] =
    [("median", Unit::Time), ("p90", Unit::Time), ("max", Unit::Time), ("deaths", Unit::Count)];

/// The bound after which a recovery counts as "never".
const BOUND: Duration = Duration::from_secs(2);

/// The bound on the start of a pair. Milliseconds suffice on a machine that is not busy.
const START: Duration = Duration::from_secs(10);

/// The least time between two kills, so that no recovery disturbs another.
const APART: Duration = Duration::from_millis(60);

/// Measures it for a waiter that has waited for this long, and an owner with this much memory in
/// bytes.
pub(super) fn measure(
    kind: Kind,
    effort: Effort,
    waited: Duration,
    memory: u64,
) -> Result<Measured> {
    if !kind.recovers() {
        let never = f64::INFINITY; // known without trying
        return Ok(Measured::values(vec![never, never, never, f64::NAN]));
    }
    let one_by_one = waited < APART;
    let pairs = match (one_by_one, memory) {
        (_, 0) => effort.pick(2, 15),
        (true, _) => effort.pick(1, 7),
        (false, _) => effort.pick(1, 3),
    };
    let at_once = if one_by_one { 1 } else { u64::from(pairs) };
    let needs = Needs { memory: memory * at_once * 5 / 4, ..Needs::default() };
    if let Some(reason) = needs.refusal() {
        return Ok(Measured::skipped(reason, METRICS.len()));
    }
    // A tenth of the wait, at most 100 ms: the longest poll interval of a contender.
    let spread = (waited / 10).min(Duration::from_millis(100));
    let waits = (0..pairs).map(|pair| waited + spread * (2 * pair + 1) / (2 * pairs));
    let times = if one_by_one {
        waits.map(|wait| Pair::start(kind, memory)?.recover(wait)).collect::<Result<Vec<f64>>>()?
    } else {
        let pairs = waits.map(|wait| {
            let pair = Pair::start(kind, memory)?;
            thread::sleep(APART); // the kills are as far apart
            Ok((pair, wait))
        });
        let pairs = pairs.collect::<Result<Vec<_>>>()?;
        pairs.into_iter().map(|(pair, wait)| pair.recover(wait)).collect::<Result<_>>()?
    };
    let (_, max) = range(&times);
    let deaths = float(times.len() as u64);
    Ok(Measured::values(vec![median(times.clone()), quantile(times, 900), max, deaths]))
}

/// Two processes: an owner of the lock and a waiter.
struct Pair {
    kind: Kind,
    // Before the place: the processes end before the place is removed.
    team: Team,
    _place: Prepared,
}

const OWNER: usize = 0;
const WAITER: usize = 1;

impl Pair {
    /// Starts the processes. Returns when the owner holds the lock and the waiter begins to wait.
    fn start(kind: Kind, memory: u64) -> Result<Self> {
        let place = Prepared::new(kind)?;
        let duties = &[Duty::Hold, Duty::Wait];
        let mut team = Team::start(kind, Run { duties, memory, ..Run::default() }, place.place())?;
        team.meet()?; // both have opened the lock
        for order in [state::RUN, state::MEASURE] {
            team.board.order(order);
            if !team.meet_some(1, START) {
                return Err(
                    "the owner does not acquire the lock, or the waiter does not start to wait"
                        .into(),
                );
            }
        }
        Ok(Self { kind, team, _place: place })
    }

    /// Kills the owner when the waiter has waited for this long. Returns the time from the kill to
    /// the acquisition, in nanoseconds.
    fn recover(mut self, waited: Duration) -> Result<f64> {
        // Stored before the arrival, as `owned_at` below.
        let asked_at = self.team.board.rows[WAITER].asked_at.load(Relaxed);
        let passed = Duration::from_nanos(now() - asked_at);
        thread::sleep(waited.saturating_sub(passed)); // a parameter; it orders nothing
        let killed_at = self.team.kill(OWNER)?;
        if !self.team.meet_some(1, BOUND) {
            return Ok(f64::INFINITY);
        }
        self.team.account(0.0).check(self.kind)?;
        let owned_at = self.team.board.rows[WAITER].owned_at.load(Relaxed);
        let time = owned_at
            .checked_sub(killed_at)
            .ok_or("acquired the lock while another process held it")?;
        Ok(float(time))
    }
}
