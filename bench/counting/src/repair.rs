//! Repairs the counter after the death of an owner.
//!
//! The owner may have died between the store to the counter and the store to its tally. The tallies
//! are right: each has a single writer and changes in one store. The counter is set to their sum.

use shmlock::Guard;
use shmlock_bench_support::Result;

use crate::board::{Board, Row};

/// Repairs the counter if an owner died, then records and reports the death. `ours` is the new
/// owner's row, if it has one.
///
/// # Errors
/// The errors of [`Guard::declare_consistent`].
pub(crate) fn repair(guard: &Guard<'_>, board: &Board, ours: Option<Row<'_>>) -> Result<()> {
    let Some(recovered) = guard.recovered() else { return Ok(()) };
    let torn = board.counter().get();
    let repaired = board.sum_of_tallies();
    board.counter().set(repaired);
    if let Some(ours) = ours {
        ours.recoveries().add(1);
    }
    if let Some(dead) = recovered.dead {
        // The coordinator reads the count of deaths from the row. A coordinator has no row.
        if let Some(row) = board.all_rows().find(|row| dead.uuid() == Some(row.uuid())) {
            row.deaths().add(1);
        }
        let pid = std::process::id();
        println!("dead: {dead}; process {pid} recovered the lock, counter {torn} -> {repaired}");
    }
    guard.declare_consistent()?; // without this, each later owner would repair it again
    Ok(())
}
