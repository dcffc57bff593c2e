//! Who starts the workers, kills them and replaces them?
//!
//! One thread for each share of the work sees it through, by as many workers as it takes.

use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::Result;
use crate::board::Row;
use crate::child::{self, Child};
use crate::options::Options;

/// How many workers of each row are killed with `--kill`. Arbitrary: enough to see, few enough to
/// wait for.
const KILLS_PER_ROW: u64 = 2;

/// What a worker says when it is about to begin, and when it holds the lock and may be killed.
const READY: &str = "ready";
const HOLDING: &str = "holding";

/// What became of a crew.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// From the moment all were ready.
    pub elapsed: Duration,
    /// How many workers we killed, each while it held the lock.
    pub killed: u64,
    /// How many somebody else killed, whatever they were doing.
    pub killed_by_others: u64,
}

/// In a worker: waits until all workers are ready.
///
/// # Errors
/// As [`child::wait_for_parent`].
pub fn wait_for_start() -> Result<()> {
    child::wait_for_parent(READY)
}

/// In a worker that holds the lock: whether it is to be killed. So it is when a third of the share
/// is done, and when two thirds are; once each, for the next owner counts the death before the
/// replacement can come here.
#[must_use]
pub fn is_due(row: Row<'_>) -> bool {
    let deaths = row.deaths().get();
    deaths < KILLS_PER_ROW
        && row.tally().get() >= row.share().get() / (KILLS_PER_ROW + 1) * (deaths + 1)
}

/// In a worker that holds the lock: waits to be killed.
pub fn offer_to_die() -> ! {
    child::wait_for_death(HOLDING)
}

/// Has the work of these rows done.
///
/// # Errors
/// If a worker cannot be started, or fails.
pub fn work_through(options: &Options, rows: Range<usize>) -> Result<Outcome> {
    let mut workers = rows.map(|row| Ok((row, hire(options, row)?))).collect::<Result<Vec<_>>>()?;
    // All are started before the first is waited for, and all are ready before the first begins.
    for (_, worker) in &mut workers {
        wait_until_ready(worker)?;
    }
    let start = Instant::now();
    for (_, worker) in &mut workers {
        worker.go_on();
    }

    let mut outcome = Outcome::default();
    thread::scope(|scope| {
        let see_through = |(row, worker)| scope.spawn(move || see_through(options, row, worker));
        let threads: Vec<_> = workers.into_iter().map(see_through).collect();
        for thread in threads {
            let share = thread.join().map_err(|_| "a thread panicked")??;
            outcome.killed += share.killed;
            outcome.killed_by_others += share.killed_by_others;
        }
        outcome.elapsed = start.elapsed();
        Ok(outcome)
    })
}

fn hire(options: &Options, row: usize) -> Result<Child> {
    Child::start(options.for_worker(row))
}

fn wait_until_ready(worker: &mut Child) -> Result<()> {
    while let Some(line) = worker.next_line()? {
        if line == READY {
            return Ok(());
        }
        println!("{line}");
    }
    Err(format!("worker {} ended with {}", worker.pid(), worker.wait()?).into())
}

/// Listens to the worker of a row, kills it when it offers itself, and replaces it when it was
/// killed.
fn see_through(options: &Options, row: usize, mut worker: Child) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    loop {
        let killed_before = outcome.killed;
        while let Some(line) = worker.next_line()? {
            if line == HOLDING {
                worker.kill()?;
                outcome.killed += 1;
            } else {
                println!("{line}");
            }
        }
        let status = worker.wait()?;
        if status.success() {
            return Ok(outcome);
        }
        if status.signal() != Some(Signal::KILL.as_raw()) {
            return Err(format!("worker {} ended with {status}", worker.pid()).into());
        }
        if outcome.killed == killed_before {
            outcome.killed_by_others += 1;
        }
        worker = hire(options, row)?;
        wait_until_ready(&mut worker)?;
        worker.go_on();
    }
}
