//! Holds the lock for long in one worker, while others wait for it. The holder may be killed
//! meanwhile.

use std::hint::black_box;
use std::process::exit;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use shmlock_bench_support::Result;
use shmlock_bench_support::failure::Failure;

use crate::board::{Board, Row, state};
use crate::clock::{now, used};
use crate::contenders::Contender;
use crate::place::Place;
use crate::section::critical_section;

/// The stack of a waiting thread: little, as there are thousands.
const STACK: usize = 128 << 10;

/// Holds the lock until the order to stop, or until this worker is killed. Arrives when it holds
/// the lock. Before, it fills memory, which the kernel frees at its death.
pub(crate) fn hold<C: Contender>(contender: &mut C, board: &Board, row: &Row) -> Result<()> {
    let memory = usize::try_from(board.memory.load(Relaxed))?;
    let ballast = black_box(vec![1_u8; memory]);
    contender.locked(|| {
        board.arrive();
        board.await_change(state::RUN);
        board.await_change(state::MEASURE);
        critical_section(board, 0);
    })?;
    drop(black_box(ballast));
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

/// Waits as [`wait`] in each of many threads, which open a handle each. A thread arrives as a
/// worker does: when its handle is open, when its wait begins, and after the release.
pub(crate) fn wait_in_threads<C: Contender>(place: &Place, board: &Board, row: &Row) {
    // The other threads wait, perhaps for good: only the end of the process is noticed.
    let end = |error: Failure| -> ! {
        eprintln!("Error: {error:?}");
        exit(1)
    };
    thread::scope(|scope| {
        for _ in 0..board.threads.load(Relaxed) {
            let builder = thread::Builder::new().stack_size(STACK);
            let waits =
                || wait_in_thread::<C>(place, board, row).unwrap_or_else(|error| end(error));
            if let Err(error) = builder.spawn_scoped(scope, waits) {
                end(error.into());
            }
        }
    });
}

fn wait_in_thread<C: Contender>(place: &Place, board: &Board, row: &Row) -> Result<()> {
    let mut contender = C::open(place)?;
    board.arrive();
    board.await_change(state::READY);
    board.await_change(state::RUN);
    board.arrive();
    contender.locked(|| critical_section(board, 0))?;
    drop(contender);
    row.sections.fetch_add(1, Relaxed); // visible by the arrival that follows
    board.arrive();
    Ok(())
}
