//! What does a worker process do? It takes the lock again and again, counts, and reports.

use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use shmlock_examples::{Result, child};

use crate::board::{Board, Row, state};
use crate::clock::{Usage, now, used};
use crate::contenders::{Contender, Kind, Task};
use crate::histogram::{BUCKETS, bucket_of};
use crate::memory::Mapping;
use crate::place::Place;
use crate::work::work;

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
}

/// The worker process, from beginning to end.
pub(crate) fn run(orders: &Orders) -> Result<()> {
    child::die_with_parent()?;
    let board = Mapping::<Board>::open(Path::new(&orders.board))?; // fails if the parent was gone before the line above
    let row = board.rows.get(orders.row).ok_or("there is no such row")?;
    orders.kind.dispatch(Worker { board: &board, row, place: &Place::named(&orders.place) })
}

struct Worker<'a> {
    board: &'a Board,
    row: &'a Row,
    place: &'a Place,
}

impl Task for Worker<'_> {
    type Output = Result<()>;

    fn run<C: Contender>(self) -> Result<()> {
        let Self { board, row, place } = self;
        let mut contender = C::open(place)?;
        board.arrive();
        board.await_change(state::READY);
        board.arrive();
        match (board.share.load(Relaxed), board.timed.load(Relaxed) != 0) {
            (0, false) => take_turns::<C, false>(&mut contender, board, row)?,
            (0, true) => take_turns::<C, true>(&mut contender, board, row)?,
            (share, _) => do_share(&mut contender, board, row, share)?,
        }
        drop(contender);
        board.arrive();
        Ok(())
    }
}

/// Takes the lock until it is told to stop.
fn take_turns<C: Contender, const TIMED: bool>(contender: &mut C, board: &Board, row: &Row) -> Result<()> {
    let turns = board.turns.0.load(Relaxed);
    let mut waits = Waits::new();
    let (mut sections, mut counted) = (0_u64, 0_u64);
    let mut begin: Option<Usage> = None;
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
        if TIMED && measures {
            waits.note(wait); // even if it ends after the stop: the longest waits are those
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
fn do_share<C: Contender>(contender: &mut C, board: &Board, row: &Row, share: u64) -> Result<()> {
    let mut times = Waits::new();
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
struct Waits {
    counts: Vec<u64>,
    total: u64,
    longest: u64,
}

impl Waits {
    fn new() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, longest: 0 }
    }

    fn note(&mut self, wait: u64) {
        self.counts[bucket_of(wait).min(BUCKETS - 1)] += 1;
        self.total += wait;
        self.longest = self.longest.max(wait);
    }

    /// Relaxed: the arrival that follows makes all of it visible.
    fn report(&self, row: &Row) {
        for (shared, count) in row.waits.iter().zip(&self.counts) {
            shared.store(*count, Relaxed);
        }
        row.total.store(self.total, Relaxed);
        row.longest.store(self.longest, Relaxed);
    }
}
