//! What do the processes of `counter` share? One counter, and a row for each worker's own account.
//!
//! A worker counts each increment twice: in the counter, which all write, and in its own row, which
//! nobody else does. So the rows together say what the counter *should* be, whoever was killed in
//! the middle of what.
//!
//! A row belongs to a share of the work, not to a process: when a worker is killed, its replacement
//! goes on in its row.

use std::ops::Range;
use std::time::Duration;

use shmlock::{Guard, ShmLock, uuid::Uuid};

use crate::Result;
use crate::block::{Block, Word};
use crate::waits::{BUCKETS, Waits, bucket_of};

/// How many rows there are. Arbitrary: together they take some 600 KiB.
pub const ROWS: usize = 256;

// The words of the board …
const COUNTER: usize = 0;
const ROWS_TAKEN: usize = 1;
const FIRST_ROW: usize = 8; // on a cache line of its own, as each row

// … and those of a row.
const PID: usize = 0;
const UUID: [usize; 2] = [1, 2];
const SHARE: usize = 3;
const TALLY: usize = 4;
const DEATHS: usize = 5;
const RECOVERIES: usize = 6;
const LONGEST_WAIT: usize = 7;
const WAITS: usize = 8;
const ROW_LEN: usize = (WAITS + BUCKETS).next_multiple_of(8);

/// The shared counter, and who has done what.
#[derive(Debug)]
pub struct Board {
    block: Block,
}

impl Board {
    /// Joins those who work on the board of this name. If there are none, everything on it is zero.
    ///
    /// # Errors
    /// As [`Block::attach`].
    pub fn join(held: &Guard<'_>, name: &str) -> Result<Self> {
        Ok(Self { block: Block::attach(held, name, FIRST_ROW + ROWS * ROW_LEN)? })
    }

    /// As [`Block::leave`].
    ///
    /// # Errors
    /// What the system says.
    pub fn leave(self, held: &Guard<'_>) -> Result<bool> {
        self.block.leave(held)
    }

    /// What it is all about.
    #[must_use]
    pub fn counter(&self) -> Word<'_> {
        self.block.word(COUNTER)
    }

    /// Takes rows for so many workers, each with this share of the work; gives back their numbers.
    ///
    /// # Errors
    /// A message, if there are not enough rows left.
    pub fn take_rows(&self, _held: &Guard<'_>, workers: usize, share: u64) -> Result<Range<usize>> {
        let first = self.rows_taken();
        let rows = first..first + workers;
        if rows.end > ROWS {
            return Err(format!(
                "other terminals have {first} of {ROWS} workers, so {workers} more do not fit; \
                 wait until they have finished, or use another --name"
            )
            .into());
        }
        self.block.word(ROWS_TAKEN).set(rows.end as u64);
        self.rows(rows.clone()).for_each(|row| row.share().set(share));
        Ok(rows)
    }

    /// The row of this number.
    #[must_use]
    pub fn row(&self, number: usize) -> Row<'_> {
        Row { board: self, number }
    }

    /// Some of the rows.
    pub fn rows(&self, numbers: Range<usize>) -> impl Iterator<Item = Row<'_>> {
        numbers.map(|number| self.row(number))
    }

    /// The rows of all workers of all terminals.
    pub fn all_rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows(0..self.rows_taken())
    }

    /// What the counter should be.
    #[must_use]
    pub fn sum_of_tallies(&self) -> u64 {
        self.all_rows().map(|row| row.tally().get()).sum()
    }

    /// Clamped, for another program could have written to the file.
    fn rows_taken(&self) -> usize {
        usize::try_from(self.block.word(ROWS_TAKEN).get()).unwrap_or(ROWS).min(ROWS)
    }
}

/// The account of one worker and of those who replaced it.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    board: &'a Board,
    number: usize,
}

impl<'a> Row<'a> {
    fn word(self, index: usize) -> Word<'a> {
        self.board.block.word(FIRST_ROW + self.number * ROW_LEN + index)
    }

    /// Writes down who works in this row from now on.
    pub fn sign(self, _held: &Guard<'_>, lock: &ShmLock) {
        self.word(PID).set(std::process::id().into());
        let (high, low) = lock.uuid().as_u64_pair();
        self.word(UUID[0]).set(high);
        self.word(UUID[1]).set(low);
    }

    /// The process that worked in this row last.
    #[must_use]
    pub fn pid(self) -> u64 {
        self.word(PID).get()
    }

    /// By which handle it held the lock.
    #[must_use]
    pub fn uuid(self) -> Uuid {
        Uuid::from_u64_pair(self.word(UUID[0]).get(), self.word(UUID[1]).get())
    }

    /// How many increments are to be done.
    #[must_use]
    pub fn share(self) -> Word<'a> {
        self.word(SHARE)
    }

    /// How many are done.
    #[must_use]
    pub fn tally(self) -> Word<'a> {
        self.word(TALLY)
    }

    /// How many workers of this row have died holding the lock, as far as the next owners have
    /// reported it.
    #[must_use]
    pub fn deaths(self) -> Word<'a> {
        self.word(DEATHS)
    }

    /// How often a worker of this row was the next owner.
    #[must_use]
    pub fn recoveries(self) -> Word<'a> {
        self.word(RECOVERIES)
    }

    /// Counts a wait for the lock.
    pub fn waited(self, wait: Duration) {
        let nanoseconds = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX / 2); // 292 years
        self.word(WAITS + bucket_of(nanoseconds).min(BUCKETS - 1)).add(1);
        let longest = self.word(LONGEST_WAIT);
        longest.set(longest.get().max(nanoseconds));
    }

    /// How long the workers of this row have waited.
    #[must_use]
    pub fn waits(self) -> Waits {
        let counts = std::array::from_fn(|bucket| self.word(WAITS + bucket).get());
        Waits::new(counts, Duration::from_nanos(self.word(LONGEST_WAIT).get()))
    }
}
