//! Starts and watches the workers of one run, and collects their reports.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use shmlock_bench_support::histogram::BUCKETS;
use shmlock_bench_support::{Result, child::Child};

use crate::board::{Board, ROWS, state};
use crate::clock::now;
use crate::contenders::{Contender, Kind, Task};
use crate::memory::Mapping;
use crate::place::Place;
use crate::prepared::Prepared;
use crate::worker::Duty;

/// The parameters of one run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run<'a> {
    /// The duty of each worker.
    pub duties: &'a [Duty],
    /// The work in each critical section, and before a hand-off to a waiter that has just arrived.
    pub turns: u64,
    /// The time in which workers count; with a share, the bound on its time.
    pub window: Duration,
    /// The amount of work of each worker; 0 for no limit but the window.
    pub share: u64,
    /// The mean sleep of a waiter before the lock is handed to it; 0 if it is to be awake.
    pub sleep: Duration,
    /// The number of threads of a worker that waits in several.
    pub threads: u32,
    /// The memory of a worker that holds the lock, in bytes.
    pub memory: u64,
}

/// The result of one run, over all workers.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The length of the window as measured, in seconds.
    pub seconds: f64,
    /// The critical sections in the window, by worker.
    pub counted: Vec<u64>,
    /// Processor time in the window, in nanoseconds.
    pub cpu: u64,
    /// The number of sleeps in the window.
    pub sleeps: u64,
    /// The sum of all measured times, in nanoseconds.
    pub total: u64,
    /// The longest measured time, in nanoseconds.
    pub longest: u64,
    /// A histogram of the measured times.
    pub waits: Vec<u64>,
    /// The number of lost counts.
    pub lost: u64,
}

/// Does one run, and checks its counts by [`Outcome::check`].
pub(crate) fn run(kind: Kind, run: Run<'_>) -> Result<Outcome> {
    assert!(run.duties.len() <= ROWS, "the board has {ROWS} rows");
    let place = Prepared::new(kind)?;
    kind.dispatch(Coordinator { kind, run, place: place.place() })
}

struct Coordinator<'a> {
    kind: Kind,
    run: Run<'a>,
    place: &'a Place,
}

impl Task for Coordinator<'_> {
    type Output = Result<Outcome>;

    fn run<C: Contender>(self) -> Result<Outcome> {
        let _open = C::open(self.place)?; // no worker opens it first, or closes it last
        let mut team = Team::start(self.kind, self.run, self.place)?;
        let window = team.go(self.run)?;
        let outcome = team.account(window);
        outcome.check(self.kind)?;
        Ok(outcome)
    }
}

impl Outcome {
    /// Returns an error if counts were lost, unless the contender is no lock.
    pub(crate) fn check(&self, kind: Kind) -> Result<()> {
        if kind.excludes() && self.lost != 0 {
            return Err(format!("{}: {} counts were lost", kind.label(), self.lost).into());
        }
        Ok(())
    }
}

/// A process that keeps the lock open, unused. The drop kills it.
#[derive(Debug)]
pub(crate) struct Keeper(#[expect(dead_code, reason = "kept for its drop")] Team);

impl Keeper {
    /// Starts the process, and waits until the lock is open.
    pub(crate) fn start(kind: Kind, place: &Place) -> Result<Self> {
        let mut team = Team::start(kind, Run { duties: &[Duty::Turns], ..Run::default() }, place)?;
        team.meet()?;
        Ok(Self(team))
    }
}

/// The processes of one run. The drop kills them.
#[derive(Debug)]
pub(crate) struct Team {
    /// The shared memory.
    pub board: Mapping<Board>,
    /// The descriptor by which the workers open the board.
    _descriptor: OwnedFd,
    workers: Vec<Child>,
    /// The number of arrivals when all have arrived once: a worker has several if it has threads.
    members: u32,
    /// The number of arrivals awaited so far.
    met: u32,
}

impl Team {
    /// Starts the workers. Each opens the lock, arrives, and waits for an order.
    pub(crate) fn start(kind: Kind, run: Run<'_>, place: &Place) -> Result<Self> {
        let (board, descriptor, path) = Mapping::<Board>::anonymous()?;
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        board.turns.0.store(run.turns, Relaxed); // visible to the workers, which are started later
        board.share.store(run.share, Relaxed);
        board.window.store(nanoseconds(run.window), Relaxed);
        board.sleep.store(nanoseconds(run.sleep), Relaxed);
        board.threads.store(run.threads, Relaxed);
        board.memory.store(run.memory, Relaxed);
        let start = |(row, duty): (usize, &Duty)| {
            let (row, kind, duty) = (row.to_string(), kind.label(), duty.label());
            let orders = ["--row", &row, "--kind", kind, "--place", place.name(), "--duty", duty];
            Child::start(["--worker", &path].into_iter().chain(orders))
        };
        let workers = run.duties.iter().enumerate().map(start).collect::<Result<_>>()?;
        let of_duty = |duty: &Duty| if *duty == Duty::WaitInThreads { run.threads } else { 1 };
        let members = run.duties.iter().map(of_duty).sum();
        Ok(Self { board, _descriptor: descriptor, workers, members, met: 0 })
    }

    /// Runs the workers from the first order to the end. Returns the length of the window in
    /// seconds.
    fn go(&mut self, run: Run<'_>) -> Result<f64> {
        self.meet()?; // all have opened the lock
        let mut begin = now();
        self.board.order(state::RUN);
        self.meet()?; // all are in the loop, or about to be
        if run.share == 0 {
            begin = now();
            self.board.order(state::MEASURE);
            thread::sleep(run.window); // the window; it orders nothing
            self.board.order(state::STOP);
        }
        let stop = now();
        self.meet()?; // all have reported
        let end = if run.share == 0 { stop } else { now() };
        Ok(Duration::from_nanos(end - begin).as_secs_f64())
    }

    /// Waits until each worker has arrived once more.
    pub(crate) fn meet(&mut self) -> Result<()> {
        self.met += self.members;
        while !self.board.await_arrivals(self.met, Duration::from_millis(200)) {
            for worker in &mut self.workers {
                // A worker that has reported may end before the others; only a failure is an error.
                if let Some(status) = worker.try_wait()?.filter(|status| !status.success()) {
                    return Err(format!("a worker ended with {status}").into());
                }
            }
        }
        Ok(())
    }

    /// Waits until this many workers have arrived once more, at most for `bound`. Returns `true` if
    /// they have.
    pub(crate) fn meet_some(&mut self, workers: u32, bound: Duration) -> bool {
        self.met += workers;
        let end = now() + u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        loop {
            let left = end.saturating_sub(now());
            if self.board.await_arrivals(self.met, Duration::from_nanos(left)) {
                return true;
            }
            if left == 0 {
                return false;
            }
        }
    }

    /// Waits until each worker has ended, and checks its exit status. Meanwhile no worker's arrival
    /// wakes this process.
    pub(crate) fn join(&mut self) -> Result<()> {
        for worker in &mut self.workers {
            let status = worker.wait()?;
            if !status.success() {
                return Err(format!("a worker ended with {status}").into());
            }
        }
        Ok(())
    }

    /// Returns the process ids, by row.
    pub(crate) fn process_ids(&self) -> impl Iterator<Item = u32> {
        self.workers.iter().map(Child::pid)
    }

    /// Kills this worker by SIGKILL, and returns the time just before.
    pub(crate) fn kill(&mut self, row: usize) -> Result<u64> {
        let killed_at = now();
        self.workers[row].kill()?;
        Ok(killed_at)
    }

    /// Returns the sum of the workers' reports.
    pub(crate) fn account(&self, seconds: f64) -> Outcome {
        let rows = &self.board.rows[..self.workers.len()];
        let sum = |of: &dyn Fn(usize) -> u64| (0..rows.len()).map(of).sum::<u64>();
        Outcome {
            seconds,
            counted: rows.iter().map(|row| row.counted.load(Relaxed)).collect(),
            cpu: sum(&|row| rows[row].cpu.load(Relaxed)),
            sleeps: sum(&|row| rows[row].sleeps.load(Relaxed)),
            total: sum(&|row| rows[row].total.load(Relaxed)),
            longest: rows.iter().map(|row| row.longest.load(Relaxed)).max().unwrap_or(0),
            waits: (0..BUCKETS)
                .map(|bucket| sum(&|row| rows[row].waits[bucket].load(Relaxed)))
                .collect(),
            lost: sum(&|row| rows[row].sections.load(Relaxed))
                .abs_diff(self.board.counter.0.load(Relaxed)),
        }
    }
}
