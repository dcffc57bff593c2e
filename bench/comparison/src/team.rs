//! How are the workers of one run started, watched and asked for their accounts?

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use shmlock_bench_support::{Result, child::Child};

use crate::board::{Board, ROWS, state};
use crate::clock::now;
use crate::contenders::{Contender, Kind, Task};
use crate::histogram::BUCKETS;
use crate::memory::Mapping;
use crate::place::{Place, Prepared};
use crate::worker::Duty;

/// What one run is like.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run<'a> {
    /// What each of the workers does.
    pub duties: &'a [Duty],
    /// The work in each section, and before each hand-off to who has just arrived.
    pub turns: u64,
    /// How long to count; or, if there is a share, how long that may take.
    pub window: Duration,
    /// How much each worker does; 0 for as much as it can until the window is over.
    pub share: u64,
    /// How long a waiter sleeps before the lock is handed to it; 0 if it is to be awake.
    pub sleep: Duration,
}

/// What came out of it, all workers together.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// How long the window really was, in seconds.
    pub seconds: f64,
    /// The sections in the window, by worker.
    pub counted: Vec<u64>,
    /// Processor time in the window, in nanoseconds.
    pub cpu: u64,
    /// How often somebody slept in the window.
    pub sleeps: u64,
    /// What everything timed took together, in nanoseconds.
    pub total: u64,
    /// The longest of it.
    pub longest: u64,
    /// How long it took.
    pub waits: Vec<u64>,
    /// How many counts were lost.
    pub lost: u64,
}

/// Runs it from beginning to end. See [`Outcome::check`].
pub(crate) fn run(kind: Kind, run: Run<'_>) -> Result<Outcome> {
    assert!(run.duties.len() <= ROWS, "the board has {ROWS} rows");
    let place = Prepared::new(kind)?;
    kind.dispatch(Lead { kind, run, place: place.place() })
}

struct Lead<'a> {
    kind: Kind,
    run: Run<'a>,
    place: &'a Place,
}

impl Task for Lead<'_> {
    type Output = Result<Outcome>;

    fn run<C: Contender>(self) -> Result<Outcome> {
        let _stays = C::open(self.place)?; // so that no worker is the first to open it or the last to close it
        let mut team = Team::start(self.kind, self.run, self.place)?;
        let window = team.go(self.run)?;
        let outcome = team.account(window);
        outcome.check(self.kind)?;
        Ok(outcome)
    }
}

impl Outcome {
    /// A loss of counts is an error, unless the contender excludes nobody.
    pub(crate) fn check(&self, kind: Kind) -> Result<()> {
        if kind.excludes() && self.lost != 0 {
            return Err(format!("{}: {} counts were lost", kind.label(), self.lost).into());
        }
        Ok(())
    }
}

/// A process that has the lock open and does not touch it, until this is dropped and it is killed.
#[derive(Debug)]
pub(crate) struct Keeper(#[expect(dead_code, reason = "kept for its drop")] Team);

impl Keeper {
    /// Starts it, and waits until the lock is open.
    pub(crate) fn start(kind: Kind, place: &Place) -> Result<Self> {
        let mut team = Team::start(kind, Run { duties: &[Duty::Turns], ..Run::default() }, place)?;
        team.meet()?;
        Ok(Self(team))
    }
}

/// The processes of one run. They are killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Team {
    /// What they share.
    pub board: Mapping<Board>,
    /// The workers open the board through it.
    _descriptor: OwnedFd,
    workers: Vec<Child>,
    /// How many arrivals have been awaited.
    met: u32,
}

impl Team {
    /// Starts them. Each opens the lock, arrives, and waits for an order.
    pub(crate) fn start(kind: Kind, run: Run<'_>, place: &Place) -> Result<Self> {
        let (board, descriptor, path) = Mapping::<Board>::anonymous()?;
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        board.turns.0.store(run.turns, Relaxed); // all visible to the workers, which do not exist yet
        board.share.store(run.share, Relaxed);
        board.window.store(nanoseconds(run.window), Relaxed);
        board.sleep.store(nanoseconds(run.sleep), Relaxed);
        let start = |(row, duty): (usize, &Duty)| {
            let (row, kind, duty) = (row.to_string(), kind.label(), duty.label());
            let orders = ["--row", &row, "--kind", kind, "--place", place.name(), "--duty", duty];
            Child::start(["--worker", &path].into_iter().chain(orders))
        };
        let workers = run.duties.iter().enumerate().map(start).collect::<Result<_>>()?;
        Ok(Self { board, _descriptor: descriptor, workers, met: 0 })
    }

    /// From the start to the end of all workers; answers how long they counted, in seconds.
    fn go(&mut self, run: Run<'_>) -> Result<f64> {
        self.meet()?; // all have opened the lock
        let mut begin = now();
        self.board.order(state::RUN);
        self.meet()?; // all are in the loop, or about to be
        if run.share == 0 {
            begin = now();
            self.board.order(state::MEASURE);
            thread::sleep(run.window); // this is what is measured, it orders nothing
            self.board.order(state::STOP);
        }
        let stop = now();
        self.meet()?; // all have reported
        let end = if run.share == 0 { stop } else { now() };
        Ok(Duration::from_nanos(end - begin).as_secs_f64())
    }

    /// Waits until each worker has arrived once more.
    pub(crate) fn meet(&mut self) -> Result<()> {
        self.met += u32::try_from(self.workers.len())?;
        while !self.board.await_arrivals(self.met, Duration::from_millis(200)) {
            for worker in &mut self.workers {
                // One that has reported ends before the others do: only a failure is one.
                if let Some(status) = worker.try_wait()?.filter(|status| !status.success()) {
                    return Err(format!("a worker ended with {status}").into());
                }
            }
        }
        Ok(())
    }

    /// Waits until so many of them have arrived once more, but not longer than `bound`; says
    /// whether they have.
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

    /// Kills this worker by SIGKILL, and answers the moment before.
    pub(crate) fn kill(&mut self, row: usize) -> Result<u64> {
        let killed_at = now();
        self.workers[row].kill()?;
        Ok(killed_at)
    }

    /// What they have reported.
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
