//! Hands the lock from one worker, the releaser, to another, the acquirer.
//!
//! The two exchange messages, so that the acquirer locks while the releaser holds the lock. At the
//! release the acquirer still spins, if it does at all, or has been asleep for a while.

use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use shmlock_bench_support::Result;

use crate::board::{Board, Row};
use crate::clock::now;
use crate::contenders::Contender;
use crate::section::{Waits, critical_section};
use crate::work::work;

/// The least number of hand-offs for a meaningful figure, whatever the window.
const AT_LEAST: u64 = 10;

/// The step by which the time before a hand-off changes each time, in turns or in thousandths: a
/// prime, so that all values occur. A constant time would always meet the same phase of the
/// acquirer's spinning and sleeping.
const STEP: u64 = 7919;

/// Acts as the releaser, for all hand-offs of the share or until the window ends.
pub(crate) fn release<C: Contender>(contender: &mut C, board: &Board, row: &Row) -> Result<()> {
    let (pair, turns) = (&board.pair, board.turns.0.load(Relaxed));
    let sleep = Duration::from_nanos(board.sleep.load(Relaxed));
    let (share, end) = (board.share.load(Relaxed), now() + board.window.load(Relaxed));
    board.arrive();
    let mut number = 0;
    while number < share && (number < AT_LEAST || now() < end) {
        number += 1;
        let released_at = contender.locked(|| {
            let counter = &board.counter.0;
            let seen = counter.load(Relaxed);
            Board::publish(&pair.held.0, number);
            Board::spin_until(&pair.asked.0, number);
            if sleep.is_zero() {
                work(turns + number * STEP % turns); // meanwhile the acquirer begins to wait
            } else {
                // From half of it to one and a half: a parameter of the measurement, which orders
                // nothing.
                thread::sleep(
                    sleep / 2 + sleep * u32::try_from(number * STEP % 1000).unwrap_or(0) / 1000,
                );
            }
            counter.store(seen + 1, Relaxed); // as in `critical_section`
            now()
        })?;
        // Only now: a store before the release would delay it.
        pair.released_at.store(released_at, Relaxed);
        Board::publish(&pair.released.0, number);
        Board::spin_until(&pair.acquired.0, number);
    }
    Board::publish(&pair.held.0, u64::MAX);
    row.sections.store(number, Relaxed); // visible by the arrival that follows; so below
    Ok(())
}

/// Acts as the acquirer, and measures the time since the releaser began to release.
pub(crate) fn acquire<C: Contender>(contender: &mut C, board: &Board, row: &Row) -> Result<()> {
    let pair = &board.pair;
    let mut times = Waits::new();
    board.arrive();
    let mut number = 1;
    while Board::spin_until(&pair.held.0, number) == number {
        Board::publish(&pair.asked.0, number);
        let owned_at = contender.locked(|| {
            let owned_at = now();
            critical_section(board, 0);
            owned_at
        })?;
        Board::spin_until(&pair.released.0, number);
        let released_at = pair.released_at.load(Relaxed); // stored before `released`
        let time =
            owned_at.checked_sub(released_at).ok_or("acquired the lock before its release")?;
        times.note(time);
        Board::publish(&pair.acquired.0, number);
        number += 1;
    }
    row.sections.store(number - 1, Relaxed);
    times.report(row);
    Ok(())
}
