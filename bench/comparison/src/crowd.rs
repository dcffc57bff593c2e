//! Keeps a crowd of waiters at a lock that another process holds: processes, or threads of one.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use shmlock_bench_support::Result;

use crate::board::state;
use crate::clock::now;
use crate::contenders::Kind;
use crate::limits::Needs;
use crate::prepared::Prepared;
use crate::tasks::Sample;
use crate::team::{Run, Team};
use crate::worker::Duty;

/// The number of waiters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// Waiting processes.
    pub processes: u32,
    /// Waiting threads of each process; each has a handle of its own.
    pub threads: u32,
}

impl Size {
    /// Returns a crowd of processes with a single thread.
    pub(crate) const fn processes(processes: u32) -> Self {
        Self { processes, threads: 1 }
    }

    /// Returns a crowd of threads of one process.
    pub(crate) const fn threads(threads: u32) -> Self {
        Self { processes: 1, threads }
    }

    /// Returns the number of waiters.
    pub(crate) const fn waiters(self) -> u32 {
        self.processes * self.threads
    }

    /// Returns the words for it.
    pub(crate) fn label(self) -> String {
        match self {
            Self { processes: 1, threads: 1 } => "1 waiting process".to_owned(),
            Self { processes: 1, threads } => format!("{threads} waiting threads of one process"),
            Self { processes, threads: 1 } => format!("{processes} waiting processes"),
            Self { processes, threads } => {
                format!("{threads} waiting threads in each of {processes} processes")
            }
        }
    }

    /// Returns why this system has no room for the crowd; `None` if it has.
    pub(crate) fn refusal(self) -> Option<String> {
        let [processes, threads] = [self.processes, self.threads].map(u64::from);
        Needs {
            // The coordinator has two pipes to each worker; a handle may need two while it opens.
            descriptors: (2 * processes).max(2 * threads) + 100,
            // A contender may start a thread of its own in each process.
            tasks: processes * (threads + 1) + 10,
            mappings: 4 * threads + 1000, // two for a stack, two for a handle
            memory: processes * (1 << 20) + processes * threads * (64 << 10),
            schedstat: true,
        }
        .refusal()
    }
}

/// The bound on the start of the waits. Milliseconds suffice for a small crowd, if the machine is
/// not busy.
const BOUND: Duration = Duration::from_secs(60);

/// The owner and the crowd. The drop kills them.
pub(crate) struct Crowd {
    kind: Kind,
    size: Size,
    // Before the place: the processes end before the place is removed.
    team: Team,
    _place: Prepared,
}

impl Crowd {
    /// Starts the processes. Returns when the owner holds the lock and every waiter begins to wait.
    pub(crate) fn start(kind: Kind, size: Size) -> Result<Self> {
        let place = Prepared::new(kind)?;
        let waiter = if size.threads == 1 { Duty::Wait } else { Duty::WaitInThreads };
        let mut duties = vec![waiter; 1 + usize::try_from(size.processes)?];
        duties[0] = Duty::Hold;
        let run = Run { duties: &duties, threads: size.threads, ..Run::default() };
        let mut team = Team::start(kind, run, place.place())?;
        team.meet()?; // all have opened the lock
        for (order, arrivals) in [(state::RUN, 1), (state::MEASURE, size.waiters())] {
            team.board.order(order);
            if !team.meet_some(arrivals, BOUND) {
                return Err(
                    "the owner does not acquire the lock, or a waiter does not start to wait"
                        .into(),
                );
            }
        }
        Ok(Self { kind, size, team, _place: place })
    }

    /// Reads what the waiting processes have used, in a constant order.
    pub(crate) fn samples(&self) -> Result<Vec<Sample>> {
        self.team.process_ids().skip(1).map(Sample::read).collect()
    }

    /// Lets the owner release the lock, and waits until each waiter has acquired it once and its
    /// process has ended.
    pub(crate) fn drain(mut self) -> Result<Drained> {
        if self.team.board.counter.0.load(Relaxed) != 0 {
            return Err("a waiter acquired the lock while another process held it".into());
        }
        let ordered_at = now();
        self.team.board.order(state::STOP);
        self.team.join()?;
        let ended_at = now();
        self.team.account(0.0).check(self.kind)?;
        let sections = self.team.board.counter.0.load(Relaxed);
        if sections != u64::from(self.size.waiters()) + 1 {
            return Err(format!("{sections} critical sections, which are too few").into());
        }
        let rows = &self.team.board.rows[..=usize::try_from(self.size.processes)?];
        let owned_at = rows.iter().map(|row| row.owned_at.load(Relaxed)).max().unwrap_or(0);
        let since = |time: u64| time.saturating_sub(ordered_at);
        Ok(Drained { acquired: since(owned_at), ended: since(ended_at) })
    }
}

/// The times of a drain since the order to release, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drained {
    /// Until the last acquisition by a process with a single thread.
    pub acquired: u64,
    /// Until the end of the last process.
    pub ended: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_has_a_name_and_a_number() {
        assert_eq!(Size::processes(1).label(), "1 waiting process");
        assert_eq!(Size::processes(15).label(), "15 waiting processes");
        assert_eq!(Size::threads(100).label(), "100 waiting threads of one process");
        assert_eq!(Size { processes: 2, threads: 3 }.waiters(), 6);
    }
}
