//! Opens the lock for each critical section, again and again, while other workers do the same.

use std::sync::atomic::Ordering::Relaxed;

use shmlock_bench_support::Result;

use crate::board::{Board, Row, state};
use crate::clock::{Usage, used};
use crate::contenders::Contender;
use crate::place::Place;
use crate::section::critical_section;

/// Opens, acquires and closes the lock until the order to stop. The first opening is not measured.
pub(crate) fn take_turns<C: Contender>(place: &Place, board: &Board, row: &Row) -> Result<()> {
    drop(C::open(place)?);
    board.arrive();
    board.await_change(state::READY);
    let (mut sections, mut counted) = (0_u64, 0_u64);
    let mut begin: Option<Usage> = None;
    board.arrive();
    loop {
        let order = board.state();
        if order == state::STOP {
            break;
        }
        let measures = order == state::MEASURE;
        if measures && begin.is_none() {
            begin = Some(used());
        }
        let mut contender = C::open(place)?;
        contender.locked(|| critical_section(board, 0))?;
        drop(contender);
        sections += 1;
        counted += u64::from(measures && board.state() == state::MEASURE);
    }
    if let Some(begin) = begin {
        row.cpu.store(used().cpu - begin.cpu, Relaxed); // visible by the arrival; so below
    }
    row.sections.store(sections, Relaxed);
    row.counted.store(counted, Relaxed);
    board.arrive();
    Ok(())
}
