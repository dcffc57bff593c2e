//! What is to be done after an owner died?
//!
//! It may have been killed after it had written the counter and before it had written its own
//! tally. The tallies are right, for each is written by one process only, and in one step: the
//! counter is made to agree with them.

use shmlock::Guard;

use crate::Result;
use crate::board::{Board, Row};

/// If an owner died: mends the board, and notes and reports the death. `me` is the new owner's row,
/// if it has one.
///
/// # Errors
/// As [`Guard::declare_consistent`].
pub fn mend(guard: &Guard<'_>, board: &Board, me: Option<Row<'_>>) -> Result<()> {
    let Some(recovered) = guard.recovered() else { return Ok(()) };
    let torn = board.counter().get();
    let mended = board.sum_of_tallies();
    board.counter().set(mended);
    if let Some(me) = me {
        me.recoveries().add(1);
    }
    if let Some(dead) = recovered.dead {
        // Whoever started it looks at its row. It has none if it was not a worker but had started
        // some.
        if let Some(row) = board.all_rows().find(|row| dead.uuid() == Some(row.uuid())) {
            row.deaths().add(1);
        }
        println!(
            "dead: {dead}; process {} took over, counter {torn} -> {mended}",
            std::process::id()
        );
    }
    guard.declare_consistent()?; // from here on nobody is told of it any more
    Ok(())
}
