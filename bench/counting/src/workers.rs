//! Starts the workers, kills them on request and replaces them.
//!
//! One thread for each share of the work follows it to its end, through any number of workers.

use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use shmlock_bench_support::{
    Result,
    child::{self, Child},
};

use crate::board::Row;
use crate::options::Options;

/// The number of workers killed in each row with `--kill`. Arbitrary: several, in little time.
const KILLS_PER_ROW: u64 = 2;

/// A worker's message before its first increment.
const READY: &str = "ready";
/// A worker's message when it holds the lock and is to be killed.
const HOLDING: &str = "holding";

/// The result of the workers of one terminal.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outcome {
    /// The time since all workers were ready.
    pub(crate) elapsed: Duration,
    /// The number of workers that this program killed, each while it held the lock.
    pub(crate) killed: u64,
    /// The number of workers killed by another process, with or without the lock.
    pub(crate) killed_by_others: u64,
}

/// Waits until all workers are ready. For a worker.
///
/// # Errors
/// The errors of [`child::wait_for_parent`].
pub(crate) fn wait_for_start() -> Result<()> {
    child::wait_for_parent(READY)
}

/// Returns `true` if this worker, the owner, is to be killed: once after a third of its share, and
/// once after two thirds. The next owner counts the death before a replacement can come here.
pub(crate) fn is_due(row: Row<'_>) -> bool {
    let deaths = row.deaths().get();
    deaths < KILLS_PER_ROW
        && row.tally().get() >= row.share().get() / (KILLS_PER_ROW + 1) * (deaths + 1)
}

/// Waits to be killed while this worker holds the lock.
pub(crate) fn offer_to_die() -> ! {
    child::wait_for_death(HOLDING)
}

/// Starts a worker for each row and waits until the work of all rows is done.
///
/// # Errors
/// If a worker cannot be started, or fails.
pub(crate) fn work_through(options: &Options, rows: Range<usize>) -> Result<Outcome> {
    let mut workers =
        rows.map(|row| Ok((row, start(options, row)?))).collect::<Result<Vec<_>>>()?;
    // All workers are ready before the first begins.
    for (_, worker) in &mut workers {
        wait_until_ready(worker)?;
    }
    let begin = Instant::now();
    for (_, worker) in &mut workers {
        worker.go_on();
    }

    let mut outcome = Outcome::default();
    thread::scope(|scope| {
        let follow = |(row, worker)| scope.spawn(move || follow(options, row, worker));
        let threads: Vec<_> = workers.into_iter().map(follow).collect();
        for thread in threads {
            let share = thread.join().map_err(|_| "a thread panicked")??;
            outcome.killed += share.killed;
            outcome.killed_by_others += share.killed_by_others;
        }
        outcome.elapsed = begin.elapsed();
        Ok(outcome)
    })
}

fn start(options: &Options, row: usize) -> Result<Child> {
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

/// Reads the messages of a row's worker, kills it when it asks for that, and starts a replacement
/// for a killed worker.
fn follow(options: &Options, row: usize, mut worker: Child) -> Result<Outcome> {
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
        worker = start(options, row)?;
        wait_until_ready(&mut worker)?;
        worker.go_on();
    }
}
