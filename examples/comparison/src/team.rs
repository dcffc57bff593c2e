//! How are the workers of one run started, watched and asked for their accounts?

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use shmlock_examples::{Result, child::Child};

use crate::board::{Board, ROWS, state};
use crate::clock::now;
use crate::contenders::{Contender, Kind, Task};
use crate::histogram::BUCKETS;
use crate::memory::Mapping;
use crate::place::{Place, Prepared};

/// What one run is like.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run {
    /// How many processes.
    pub workers: usize,
    /// The work in each section.
    pub turns: u64,
    /// Whether each acquire is timed.
    pub timed: bool,
    /// How long to count; or, if there is a share, not at all.
    pub window: Duration,
    /// How many sections each worker does; 0 for as many as it can until the window is over.
    pub share: u64,
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

/// Runs it. A loss of counts is an error, unless the contender excludes nobody.
pub(crate) fn run(kind: Kind, run: Run) -> Result<Outcome> {
    assert!(run.workers <= ROWS, "the board has {ROWS} rows");
    let place = Prepared::new(kind)?;
    kind.dispatch(Lead { kind, run, place: place.place() })
}

struct Lead<'a> {
    kind: Kind,
    run: Run,
    place: &'a Place,
}

impl Task for Lead<'_> {
    type Output = Result<Outcome>;

    fn run<C: Contender>(self) -> Result<Outcome> {
        let _stays = C::open(self.place)?; // so that no worker is the first to open it or the last to close it
        let mut team = Team::start(self.kind, self.run, self.place)?;
        let window = team.go(self.run)?;
        let outcome = team.account(self.run, window);
        if self.kind.excludes() && outcome.lost != 0 {
            return Err(format!("{}: {} counts were lost", self.kind.label(), outcome.lost).into());
        }
        Ok(outcome)
    }
}

/// A process that has the lock open and does not touch it, until this is dropped and it is killed.
#[derive(Debug)]
pub(crate) struct Keeper(#[expect(dead_code, reason = "kept for its drop")] Team);

impl Keeper {
    /// Starts it, and waits until the lock is open.
    pub(crate) fn start(kind: Kind, place: &Place) -> Result<Self> {
        let mut team = Team::start(kind, Run { workers: 1, ..Run::default() }, place)?;
        team.meet()?;
        Ok(Self(team))
    }
}

#[derive(Debug)]
struct Team {
    board: Mapping<Board>,
    /// The workers open the board through it.
    _descriptor: OwnedFd,
    workers: Vec<Child>,
    /// How many arrivals have been awaited.
    met: u32,
}

impl Team {
    fn start(kind: Kind, run: Run, place: &Place) -> Result<Self> {
        let (board, descriptor, path) = Mapping::<Board>::anonymous()?;
        board.turns.0.store(run.turns, Relaxed); // all visible to the workers, which do not exist yet
        board.timed.store(run.timed.into(), Relaxed);
        board.share.store(run.share, Relaxed);
        let start = |row: usize| {
            let (row, kind) = (row.to_string(), kind.label());
            Child::start(["--worker", &path, "--row", &row, "--kind", kind, "--place", place.name()])
        };
        let workers = (0..run.workers).map(start).collect::<Result<_>>()?;
        Ok(Self { board, _descriptor: descriptor, workers, met: 0 })
    }

    /// From the start to the end of all workers; answers how long they counted, in seconds.
    fn go(&mut self, run: Run) -> Result<f64> {
        self.meet()?; // all have opened the lock
        let begin = now();
        self.board.order(state::RUN);
        let mut window = 0;
        if run.share == 0 {
            self.meet()?; // all are in the loop
            let begin = now();
            self.board.order(state::MEASURE);
            thread::sleep(run.window); // this is what is measured, it orders nothing
            self.board.order(state::STOP);
            window = now() - begin;
        } else {
            self.meet()?;
        }
        self.meet()?; // all have reported
        if run.share != 0 {
            window = now() - begin;
        }
        Ok(Duration::from_nanos(window).as_secs_f64())
    }

    /// Waits until each worker has arrived once more.
    fn meet(&mut self) -> Result<()> {
        self.met += u32::try_from(self.workers.len())?;
        while !self.board.await_arrivals(self.met, Duration::from_millis(200)) {
            for worker in &mut self.workers {
                // One that has reported ends before the others do: only a failure is one.
                if let Some(status) = worker.has_ended()?.filter(|status| !status.success()) {
                    return Err(format!("a worker ended with {status}").into());
                }
            }
        }
        Ok(())
    }

    fn account(&self, run: Run, seconds: f64) -> Outcome {
        let rows = &self.board.rows[..run.workers];
        let sum = |of: &dyn Fn(usize) -> u64| (0..rows.len()).map(of).sum::<u64>();
        Outcome {
            seconds,
            counted: rows.iter().map(|row| row.counted.load(Relaxed)).collect(),
            cpu: sum(&|row| rows[row].cpu.load(Relaxed)),
            sleeps: sum(&|row| rows[row].sleeps.load(Relaxed)),
            total: sum(&|row| rows[row].total.load(Relaxed)),
            longest: rows.iter().map(|row| row.longest.load(Relaxed)).max().unwrap_or(0),
            waits: (0..BUCKETS).map(|bucket| sum(&|row| rows[row].waits[bucket].load(Relaxed))).collect(),
            lost: sum(&|row| rows[row].sections.load(Relaxed)).abs_diff(self.board.counter.0.load(Relaxed)),
        }
    }
}
