//! Runs a worker process: it does its duty, most often acquiring the lock again and again, and
//! reports.

use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use shmlock_bench_support::{Result, child};

use crate::board::{Board, Row, state};
use crate::clock::{Usage, now, used};
use crate::contenders::{Contender, Kind, Task};
use crate::memory::Mapping;
use crate::place::Place;
use crate::section::{Waits, critical_section};
use crate::{hand_off, openings, wait};

/// The orders of a worker: its command line.
#[derive(Debug)]
pub(crate) struct Orders {
    /// The path of the board.
    pub board: String,
    /// The worker's row on it.
    pub row: usize,
    /// The contender.
    pub kind: Kind,
    /// The name of the contender's place.
    pub place: String,
    /// The duty.
    pub duty: Duty,
}

/// Defines the duties: documentation, variant, and name on the command line.
macro_rules! duties {
    ($($(#[$doc:meta])* $duty:ident = $label:literal;)*) => {
        /// The duty of a worker.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Duty {
            $($(#[$doc])* $duty,)*
        }

        impl Duty {
            /// Returns its name on the command line.
            pub(crate) fn label(self) -> &'static str {
                match self { $(Self::$duty => $label,)* }
            }

            /// Returns the duty of this name.
            pub(crate) fn from_label(label: &str) -> Option<Self> {
                match label { $($label => Some(Self::$duty),)* _ => None }
            }
        }
    };
}

duties! {
    /// Acquires the lock again and again until the order to stop, without reading a clock.
    Turns = "turns";
    /// The same, and measures each acquire.
    TimedTurns = "timed-turns";
    /// Acquires the lock a fixed number of times, as fast as possible.
    Share = "share";
    /// Releases the lock to the acquirer, again and again.
    Release = "release";
    /// Acquires the lock from the releaser, again and again.
    Acquire = "acquire";
    /// Holds the lock until the order to stop, or until it is killed.
    Hold = "hold";
    /// Waits for the lock once, while another worker holds it.
    Wait = "wait";
    /// The same in many threads, each with a handle of its own.
    WaitInThreads = "wait-in-threads";
    /// Opens the lock, acquires it and closes it, again and again.
    Openings = "openings";
}

/// Runs the worker process from start to end.
pub(crate) fn run(orders: &Orders) -> Result<()> {
    child::die_with_parent()?;
    // Fails if the parent died before the line above.
    let board = Mapping::<Board>::open(Path::new(&orders.board))?;
    let row = board.rows.get(orders.row).ok_or("there is no such row")?;
    orders.kind.dispatch(Worker {
        board: &board,
        row,
        place: &Place::named(&orders.place),
        duty: orders.duty,
    })
}

struct Worker<'a> {
    board: &'a Board,
    row: &'a Row,
    place: &'a Place,
    duty: Duty,
}

impl Task for Worker<'_> {
    type Output = Result<()>;

    fn run<C: Contender>(self) -> Result<()> {
        let Self { board, row, place, duty } = self;
        match duty {
            Duty::WaitInThreads => {
                wait::wait_in_threads::<C>(place, board, row);
                return Ok(());
            }
            Duty::Openings => return openings::take_turns::<C>(place, board, row),
            _ => {} // with a handle that stays open
        }
        let mut contender = C::open(place)?;
        board.arrive();
        board.await_change(state::READY);
        match duty {
            Duty::Turns => take_turns::<C, false>(&mut contender, board, row)?,
            Duty::TimedTurns => take_turns::<C, true>(&mut contender, board, row)?,
            Duty::Share => do_share(&mut contender, board, row)?,
            Duty::Release => hand_off::release(&mut contender, board, row)?,
            Duty::Acquire => hand_off::acquire(&mut contender, board, row)?,
            Duty::Hold => wait::hold(&mut contender, board, row)?,
            Duty::Wait => wait::wait(&mut contender, board, row)?,
            Duty::WaitInThreads | Duty::Openings => {} // above
        }
        drop(contender);
        board.arrive();
        Ok(())
    }
}

/// Acquires the lock again and again until the order to stop.
fn take_turns<C: Contender, const TIMED: bool>(
    contender: &mut C,
    board: &Board,
    row: &Row,
) -> Result<()> {
    let turns = board.turns.0.load(Relaxed);
    let mut waits = Waits::new();
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
        let asked = if TIMED { now() } else { 0 };
        let wait = contender.locked(|| {
            let wait = if TIMED { now() - asked } else { 0 };
            critical_section(board, turns);
            wait
        })?;
        sections += 1;
        // A critical section that ends after the stop is not in the window.
        counted += u64::from(measures && board.state() == state::MEASURE);
        // Also a wait that began before the window or ends after the stop: the longest are such.
        if TIMED && (measures || board.state() != state::RUN) {
            waits.note(wait);
        }
    }
    if let Some(begin) = begin {
        let end = used();
        row.cpu.store(end.cpu - begin.cpu, Relaxed);
        row.sleeps.store(end.sleeps - begin.sleeps, Relaxed);
    }
    row.sections.store(sections, Relaxed);
    row.counted.store(counted, Relaxed);
    waits.report(row);
    Ok(())
}

/// Does the share of critical sections as fast as possible, and measures each turn as a whole.
fn do_share<C: Contender>(contender: &mut C, board: &Board, row: &Row) -> Result<()> {
    let share = board.share.load(Relaxed);
    let mut times = Waits::new();
    board.arrive();
    for _ in 0..share {
        let begin = now();
        contender.locked(|| critical_section(board, 0))?;
        times.note(now() - begin);
    }
    row.sections.store(share, Relaxed);
    times.report(row);
    Ok(())
}
