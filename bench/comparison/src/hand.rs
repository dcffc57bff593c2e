//! What do two workers do of which one hands the lock to the other? Both watch each other, so that
//! the one that takes it asks while the other holds it, and is still awake, or has been asleep for
//! a while, when that one gives it back.

use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use shmlock_bench_support::Result;

use crate::board::{Board, Row};
use crate::clock::now;
use crate::contenders::Contender;
use crate::work::work;
use crate::worker::{Waits, section};

/// However little time there is, so many hand-offs are worth something.
const AT_LEAST: u64 = 10;

/// By how much the time before a hand-off differs from the one before, in turns or parts of a
/// thousand: a prime, so that all come. Always the same time would be always the same phase of
/// whatever the waiter does meanwhile: its looks, its naps.
const JUMP: u64 = 7919;

/// Gives the lock as often as there are hand-offs in the share, or time in the window.
pub(crate) fn give<C: Contender>(contender: &mut C, board: &Board, row: &Row) -> Result<()> {
    let (pair, turns) = (&board.pair, board.turns.0.load(Relaxed));
    let sleep = Duration::from_nanos(board.sleep.load(Relaxed));
    let (share, end) = (board.share.load(Relaxed), now() + board.window.load(Relaxed));
    board.arrive();
    let mut number = 0;
    while number < share && (number < AT_LEAST || now() < end) {
        number += 1;
        let given_at = contender.locked(|| {
            let counter = &board.counter.0;
            let seen = counter.load(Relaxed);
            Board::tell(&pair.held.0, number);
            Board::watch(&pair.asked.0, number);
            if sleep.is_zero() {
                work(turns + number * JUMP % turns); // meanwhile the other comes to where it spins, if it does
            } else {
                // From half of it to one and a half. This is what is measured, it orders nothing.
                thread::sleep(
                    sleep / 2 + sleep * u32::try_from(number * JUMP % 1000).unwrap_or(0) / 1000,
                );
            }
            counter.store(seen + 1, Relaxed); // as in `section`: lost if the other is in
            now()
        })?;
        pair.given_at.store(given_at, Relaxed); // only now, so that no write to shared memory delays the giving
        Board::tell(&pair.given.0, number);
        Board::watch(&pair.taken.0, number);
    }
    Board::tell(&pair.held.0, u64::MAX);
    row.sections.store(number, Relaxed); // the arrival that follows makes it visible, also below
    Ok(())
}

/// Takes it, and times from the moment when the other began to give it.
pub(crate) fn take<C: Contender>(contender: &mut C, board: &Board, row: &Row) -> Result<()> {
    let pair = &board.pair;
    let mut times = Waits::new();
    board.arrive();
    let mut number = 1;
    while Board::watch(&pair.held.0, number) == number {
        Board::tell(&pair.asked.0, number);
        let owned_at = contender.locked(|| {
            let owned_at = now();
            section(board, 0);
            owned_at
        })?;
        Board::watch(&pair.given.0, number);
        let given_at = pair.given_at.load(Relaxed); // written before `given`
        let time = owned_at.checked_sub(given_at).ok_or("had the lock before the other gave it")?;
        times.note(time);
        Board::tell(&pair.taken.0, number);
        number += 1;
    }
    row.sections.store(number - 1, Relaxed);
    times.report(row);
    Ok(())
}
