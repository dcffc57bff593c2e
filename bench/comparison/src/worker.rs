//! What does a worker process do? Its duty; and then it reports. Most take the lock again and
//! again, and count.

use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use shmlock_bench_support::{Result, child};

use crate::board::{Board, Row, state};
use crate::clock::{Usage, now, used};
use crate::contenders::{Contender, Kind, Task};
use crate::histogram::{BUCKETS, bucket_of};
use crate::memory::Mapping;
use crate::place::Place;
use crate::work::work;
use crate::{hand, wait};

/// Its command line.
#[derive(Debug)]
pub(crate) struct Orders {
    /// Where the board is.
    pub board: String,
    /// Its row there.
    pub row: usize,
    /// Which lock to take.
    pub kind: Kind,
    /// Where that is.
    pub place: String,
    /// What to do with it.
    pub duty: Duty,
}

/// Lists the duties: the variant, its name on the command line, and what it says.
macro_rules! duties {
    ($($(#[$doc:meta])* $duty:ident = $label:literal;)*) => {
        /// What a worker does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Duty {
            $($(#[$doc])* $duty,)*
        }

        impl Duty {
            /// Its name on the command line.
            pub(crate) fn label(self) -> &'static str {
                match self { $(Self::$duty => $label,)* }
            }

            /// The duty of this name.
            pub(crate) fn from_label(label: &str) -> Option<Self> {
                match label { $($label => Some(Self::$duty),)* _ => None }
            }
        }
    };
}

duties! {
    /// Takes the lock until it is told to stop. Nobody reads a clock meanwhile.
    Turns = "turns";
    /// The same, and times each acquire.
    TimedTurns = "timed-turns";
    /// Takes it so many times, as fast as it can.
    Share = "share";
    /// Gives it again and again to the one that takes it.
    Give = "give";
    /// As [`Give`](Self::Give).
    Take = "take";
    /// Holds it, until it is told to stop or killed.
    Hold = "hold";
    /// Waits for it once, while somebody holds it.
    Wait = "wait";
}

/// The worker process, from beginning to end.
pub(crate) fn run(orders: &Orders) -> Result<()> {
    child::die_with_parent()?;
    let board = Mapping::<Board>::open(Path::new(&orders.board))?; // fails if the parent was gone before the line above
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
        let mut contender = C::open(place)?;
        board.arrive();
        board.await_change(state::READY);
        match duty {
            Duty::Turns => take_turns::<C, false>(&mut contender, board, row)?,
            Duty::TimedTurns => take_turns::<C, true>(&mut contender, board, row)?,
            Duty::Share => do_share(&mut contender, board, row)?,
            Duty::Give => hand::give(&mut contender, board, row)?,
            Duty::Take => hand::take(&mut contender, board, row)?,
            Duty::Hold => wait::hold(&mut contender, board, row)?,
            Duty::Wait => wait::wait(&mut contender, board, row)?,
        }
        drop(contender);
        board.arrive();
        Ok(())
    }
}

/// Takes the lock until it is told to stop.
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
        let now_to_do = board.state();
        if now_to_do == state::STOP {
            break;
        }
        let measures = now_to_do == state::MEASURE;
        if measures && begin.is_none() {
            begin = Some(used());
        }
        let asked = if TIMED { now() } else { 0 };
        let wait = contender.locked(|| {
            let wait = if TIMED { now() - asked } else { 0 };
            section(board, turns);
            wait
        })?;
        sections += 1;
        // A section that ends after the stop is none of the window's.
        counted += u64::from(measures && board.state() == state::MEASURE);
        // Even if it began before the window or ends after the stop: the longest waits are those.
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

/// Does so many sections as fast as it can, each timed as a whole.
fn do_share<C: Contender>(contender: &mut C, board: &Board, row: &Row) -> Result<()> {
    let share = board.share.load(Relaxed);
    let mut times = Waits::new();
    board.arrive();
    for _ in 0..share {
        let begin = now();
        contender.locked(|| section(board, 0))?;
        times.note(now() - begin);
    }
    row.sections.store(share, Relaxed);
    times.report(row);
    Ok(())
}

/// What is done under the lock: two steps that lose a count if two do them at one time.
#[inline]
pub(crate) fn section(board: &Board, turns: u64) {
    let counter = &board.counter.0;
    let seen = counter.load(Relaxed); // both relaxed: it is the lock that has to order them
    work(turns);
    counter.store(seen + 1, Relaxed);
}

/// Times, in memory of our own until the end, so that noting them disturbs nobody.
pub(crate) struct Waits {
    counts: Vec<u64>,
    total: u64,
    longest: u64,
}

impl Waits {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, longest: 0 }
    }

    pub(crate) fn note(&mut self, wait: u64) {
        self.counts[bucket_of(wait).min(BUCKETS - 1)] += 1;
        self.total += wait;
        self.longest = self.longest.max(wait);
    }

    /// Relaxed: the arrival that follows makes all of it visible.
    pub(crate) fn report(&self, row: &Row) {
        for (shared, count) in row.waits.iter().zip(&self.counts) {
            shared.store(*count, Relaxed);
        }
        row.total.store(self.total, Relaxed);
        row.longest.store(self.longest, Relaxed);
    }
}
