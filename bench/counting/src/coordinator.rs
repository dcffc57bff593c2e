//! Prepares the board, has the work done, and checks the result: the process the user starts.

use std::process::ExitCode;

use shmlock::{Error, ShmLock};
use shmlock_bench_support::{Result, failure::Failure};

use crate::account::Account;
use crate::board::Board;
use crate::options::Options;
use crate::repair::repair;
use crate::workers;

/// Runs one terminal's part from start to end.
///
/// # Errors
/// The system's errors. Lost increments are no error but an exit status.
pub(crate) fn coordinate(options: &Options) -> Result<ExitCode> {
    let name = options.shared_name();
    let lock = ShmLock::builder(&name).description("counter, coordinating").open();
    let lock = lock.map_err(|error| match error {
        Error::InvalidName { .. } => format!("--name: {error}").into(),
        _ => Failure::from(error),
    })?;
    println!(
        "processes: {}, increments each: {}, name: {name:?}",
        options.processes, options.increments
    );

    let guard = lock.lock()?;
    let board = Board::join(&guard, &name)?;
    repair(&guard, &board, None)?; // a process of an earlier run may have died with the lock
    let rows = board.take_rows(&guard, options.processes, options.increments)?;
    drop(guard);

    let outcome = workers::work_through(options, rows.clone());

    let guard = lock.lock()?;
    repair(&guard, &board, None)?;
    let account = Account::read(&board, rows);
    let last = board.leave(&guard)?;
    drop(guard);

    Ok(account.print(&outcome?, options.no_lock, last))
}
