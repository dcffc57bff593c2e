//! What do workers do of which one holds the lock for long, and the others wait for it? The one may
//! be killed meanwhile.

use std::sync::atomic::Ordering::Relaxed;

use shmlock_bench_support::Result;

use crate::board::{Board, Row, state};
use crate::clock::{now, used};
use crate::contenders::Contender;
use crate::worker::section;

/// Holds the lock until the order is to stop, which is never if it is to be killed. Arrives when it
/// holds it.
pub(crate) fn hold<C: Contender>(contender: &mut C, board: &Board, row: &Row) -> Result<()> {
    contender.locked(|| {
        board.arrive();
        board.await_change(state::RUN);
        board.await_change(state::MEASURE);
        section(board, 0);
    })?;
    row.sections.store(1, Relaxed); // the arrival that follows makes it visible, also below
    Ok(())
}

/// Waits for the lock as soon as the order is to measure. Arrives when it begins to wait, and again
/// when it has had it.
pub(crate) fn wait<C: Contender>(contender: &mut C, board: &Board, row: &Row) -> Result<()> {
    board.await_change(state::RUN);
    let before = used();
    row.asked_at.store(now(), Relaxed);
    board.arrive();
    let (owned_at, after) = contender.locked(|| {
        let now_and_used = (now(), used());
        section(board, 0);
        now_and_used
    })?;
    row.owned_at.store(owned_at, Relaxed);
    row.cpu.store(after.cpu - before.cpu, Relaxed);
    row.sleeps.store(after.sleeps - before.sleeps, Relaxed);
    row.sections.store(1, Relaxed);
    Ok(())
}
