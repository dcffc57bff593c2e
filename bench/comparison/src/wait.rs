//! Holds the lock for long in one worker, while others wait for it. The holder may be killed
//! meanwhile.

use std::sync::atomic::Ordering::Relaxed;

use shmlock_bench_support::Result;

use crate::board::{Board, Row, state};
use crate::clock::{now, used};
use crate::contenders::Contender;
use crate::section::critical_section;

/// Holds the lock until the order to stop, or until this worker is killed. Arrives when it holds
/// the lock.
pub(crate) fn hold<C: Contender>(contender: &mut C, board: &Board, row: &Row) -> Result<()> {
    contender.locked(|| {
        board.arrive();
        board.await_change(state::RUN);
        board.await_change(state::MEASURE);
        critical_section(board, 0);
    })?;
    row.sections.store(1, Relaxed); // visible by the arrival that follows; so below
    Ok(())
}

/// Waits for the lock once, after the order to measure. Arrives when the wait begins, and again
/// after the release.
pub(crate) fn wait<C: Contender>(contender: &mut C, board: &Board, row: &Row) -> Result<()> {
    board.await_change(state::RUN);
    let before = used();
    row.asked_at.store(now(), Relaxed);
    board.arrive();
    let (owned_at, after) = contender.locked(|| {
        let now_and_used = (now(), used());
        critical_section(board, 0);
        now_and_used
    })?;
    row.owned_at.store(owned_at, Relaxed);
    row.cpu.store(after.cpu - before.cpu, Relaxed);
    row.sleeps.store(after.sleeps - before.sleeps, Relaxed);
    row.sections.store(1, Relaxed);
    Ok(())
}
