//! What does the process do that the user started? It prepares the board, has the work done, and
//! checks it.

use std::process::ExitCode;

use shmlock::{Error, ShmLock};

use crate::Result;
use crate::account::Account;
use crate::board::Board;
use crate::crew;
use crate::failure::Failure;
use crate::mend::mend;
use crate::options::Options;

/// One terminal's part, from the first word to the last.
///
/// # Errors
/// If anything fails that has to do with the system and not with counting.
pub fn lead(options: &Options) -> Result<ExitCode> {
    let name = options.shared_name();
    let lock =
        ShmLock::builder(&name).description("counter, leading").open().map_err(
            |error| match error {
                Error::InvalidName { .. } => format!("--name: {error}").into(),
                _ => Failure::from(error),
            },
        )?;
    println!(
        "processes: {}, increments each: {}, name: {name:?}",
        options.processes, options.increments
    );

    let guard = lock.lock()?;
    let board = Board::join(&guard, &name)?;
    mend(&guard, &board, None)?; // somebody may have been killed on the way out of an earlier run
    let rows = board.take_rows(&guard, options.processes, options.increments)?;
    drop(guard);

    let outcome = crew::work_through(options, rows.clone());

    let guard = lock.lock()?;
    mend(&guard, &board, None)?;
    let account = Account::read(&board, rows);
    let last = board.leave(&guard)?;
    drop(guard);

    Ok(account.print(&outcome?, options.no_lock, last))
}
