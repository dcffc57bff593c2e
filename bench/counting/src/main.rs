//! Proves that nothing is lost: several processes increment one counter in shared memory, and the
//! program accounts for every increment, even if workers are killed in the critical section.
//!
//! The processes share nothing but a name. The program may run in several terminals at once; all
//! runs share one counter. `--no-lock` shows the loss without the lock, `--kill` kills workers
//! while they hold it, `--help` lists the options. Ctrl-C leaves two files in `/dev/shm`; the next
//! run finds them unused and starts from zero.
//!
//! ```text
//! $ cargo run --release -p shmlock-counting -- --processes 2
//! processes: 2, increments each: 200000, name: "shmlock-counter"
//!    process  increments  recoveries    median      99 %   longest wait
//!       4711      200000           0    31.0ns    43.0ns     8.1ms
//!       4712      200000           0    31.0ns    43.0ns     6.4ms
//!        all      400000           0    31.0ns    43.0ns     8.1ms
//! 0.30 s, 1338205 increments per second
//! counter 400000 after 400000 increments: nothing was lost
//! ```
//!
//! | file | contents |
//! |---|---|
//! | `options` | the command line |
//! | `coordinator` | the process that the user starts |
//! | `workers` | starting, killing and replacing the worker processes |
//! | `block`, `board` | the shared memory, and its contents |
//! | `repair` | the counter after an owner's death |
//! | `waits` | a histogram of waiting times |
//! | `account` | the final check, and the exit status |

mod account;
mod block;
mod board;
mod coordinator;
mod options;
mod repair;
mod waits;
mod workers;

use std::hint::spin_loop;
use std::process::ExitCode;
use std::time::Instant;

use shmlock::{Guard, ShmLock};
use shmlock_bench_support::{Result, child};

use board::{Board, Row};
use coordinator::coordinate;
use options::Options;
use repair::repair;

fn main() -> Result<ExitCode> {
    let options = Options::from_env();
    match options.row {
        None => coordinate(&options),
        Some(row) => work(&options, row).map(|()| ExitCode::SUCCESS),
    }
}

/// Does one worker's share of the increments.
fn work(options: &Options, row: usize) -> Result<()> {
    child::die_with_parent()?;
    let name = options.shared_name();
    let lock = ShmLock::builder(&name).description("counter, working").open()?;
    let guard = lock.lock()?;
    let board = Board::join(&guard, &name)?;
    let row = board.row(row);
    repair(&guard, &board, Some(row))?;
    row.sign(&guard, &lock);
    drop(guard);
    workers::wait_for_start()?;

    while row.tally().get() < row.share().get() {
        let _guard = if options.no_lock { None } else { Some(enter(&lock, &board, row)?) };
        // The guard excludes all other workers, so a load and a store make one increment.
        let seen = board.counter().get();
        (0..16).for_each(|_| spin_loop()); // work for a fraction of a microsecond
        board.counter().set(seen + 1);
        if options.kill && workers::is_due(row) {
            workers::offer_to_die(); // the worst moment: the counter has it, our tally has not
        }
        row.tally().add(1);
    }
    board.leave(&lock.lock()?)?;
    Ok(())
}

/// Acquires the lock, records the waiting time, and repairs the counter if an owner died.
fn enter<'l>(lock: &'l ShmLock, board: &Board, row: Row<'_>) -> Result<Guard<'l>> {
    let asked = Instant::now();
    let guard = lock.lock()?;
    row.record_wait(asked.elapsed());
    repair(&guard, board, Some(row))?;
    Ok(guard)
}
