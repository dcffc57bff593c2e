//! Lays out the shared memory: one counter, and a row for each worker's account.
//!
//! A worker counts each increment twice: in the counter, which all workers write, and in its own
//! row, which it alone writes. The sum of the rows is therefore the right value of the counter,
//! whatever a killed worker left undone.
//!
//! A row belongs to a share of the work, not to a process: the replacement of a killed worker
//! continues in the same row.

use std::ops::Range;
use std::time::Duration;

use shmlock::{Guard, ShmLock, uuid::Uuid};
use shmlock_bench_support::Result;
use shmlock_bench_support::histogram::{BUCKETS, bucket_of};

use crate::block::{Block, Word};
use crate::waits::Waits;

/// The number of rows. Arbitrary: together they take some 2.3 MiB.
pub(crate) const ROWS: usize = 256;

// The words of the board,
const COUNTER: usize = 0;
const ROWS_TAKEN: usize = 1;
const FIRST_ROW: usize = 8; // on a cache line of its own, as each row

// and the words of a row.
const PID: usize = 0;
const UUID: [usize; 2] = [1, 2];
const SHARE: usize = 3;
const TALLY: usize = 4;
const DEATHS: usize = 5;
const RECOVERIES: usize = 6;
const LONGEST_WAIT: usize = 7;
const WAITS: usize = 8;
const ROW_LEN: usize = (WAITS + BUCKETS).next_multiple_of(8);

/// The shared counter and the workers' accounts.
#[derive(Debug)]
pub(crate) struct Board {
    block: Block,
}

impl Board {
    /// Attaches to the board of this name. All words are zero if no other process is attached.
    ///
    /// # Errors
    /// The errors of [`Block::attach`].
    pub(crate) fn join(held: &Guard<'_>, name: &str) -> Result<Self> {
        Ok(Self { block: Block::attach(held, name, FIRST_ROW + ROWS * ROW_LEN)? })
    }

    /// Detaches; returns `true` if this process was the last one. See [`Block::leave`].
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn leave(self, held: &Guard<'_>) -> Result<bool> {
        self.block.leave(held)
    }

    /// Returns the counter.
    pub(crate) fn counter(&self) -> Word<'_> {
        self.block.word(COUNTER)
    }

    /// Reserves rows for `workers` workers, each with this share of the work.
    ///
    /// # Errors
    /// A message, if too few rows are free.
    pub(crate) fn take_rows(
        &self,
        _held: &Guard<'_>,
        workers: usize,
        share: u64,
    ) -> Result<Range<usize>> {
        let first = self.rows_taken();
        let rows = first..first + workers;
        if rows.end > ROWS {
            return Err(format!(
                "other terminals have {first} of {ROWS} workers, so {workers} more do not fit; \
                 wait until they have finished, or choose another --name"
            )
            .into());
        }
        self.block.word(ROWS_TAKEN).set(rows.end as u64);
        self.rows(rows.clone()).for_each(|row| row.share().set(share));
        Ok(rows)
    }

    /// Returns the row of this number.
    pub(crate) fn row(&self, number: usize) -> Row<'_> {
        Row { board: self, number }
    }

    /// Returns the rows of these numbers.
    pub(crate) fn rows(&self, numbers: Range<usize>) -> impl Iterator<Item = Row<'_>> {
        numbers.map(|number| self.row(number))
    }

    /// Returns the rows of all workers of all terminals.
    pub(crate) fn all_rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows(0..self.rows_taken())
    }

    /// Returns the right value of the counter.
    pub(crate) fn sum_of_tallies(&self) -> u64 {
        self.all_rows().map(|row| row.tally().get()).sum()
    }

    /// Returns the number of reserved rows. Clamped, as another program may write the file.
    fn rows_taken(&self) -> usize {
        usize::try_from(self.block.word(ROWS_TAKEN).get()).unwrap_or(ROWS).min(ROWS)
    }
}

/// The account of one worker and its replacements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    board: &'a Board,
    number: usize,
}

impl<'a> Row<'a> {
    fn word(self, index: usize) -> Word<'a> {
        self.board.block.word(FIRST_ROW + self.number * ROW_LEN + index)
    }

    /// Records this process and its handle as the worker of the row.
    pub(crate) fn sign(self, _held: &Guard<'_>, lock: &ShmLock) {
        self.word(PID).set(std::process::id().into());
        let (high, low) = lock.uuid().as_u64_pair();
        self.word(UUID[0]).set(high);
        self.word(UUID[1]).set(low);
    }

    /// Returns the last process that worked in the row.
    pub(crate) fn pid(self) -> u64 {
        self.word(PID).get()
    }

    /// Returns the uuid of that process's handle.
    pub(crate) fn uuid(self) -> Uuid {
        Uuid::from_u64_pair(self.word(UUID[0]).get(), self.word(UUID[1]).get())
    }

    /// Returns the number of increments to do.
    pub(crate) fn share(self) -> Word<'a> {
        self.word(SHARE)
    }

    /// Returns the number of increments done.
    pub(crate) fn tally(self) -> Word<'a> {
        self.word(TALLY)
    }

    /// Returns the number of the row's workers that died with the lock, as the next owners
    /// reported.
    pub(crate) fn deaths(self) -> Word<'a> {
        self.word(DEATHS)
    }

    /// Returns the number of recoveries by workers of the row.
    pub(crate) fn recoveries(self) -> Word<'a> {
        self.word(RECOVERIES)
    }

    /// Records a wait for the lock.
    pub(crate) fn record_wait(self, wait: Duration) {
        let nanoseconds = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX / 2); // 292 years
        self.word(WAITS + bucket_of(nanoseconds).min(BUCKETS - 1)).add(1);
        let longest = self.word(LONGEST_WAIT);
        longest.set(longest.get().max(nanoseconds));
    }

    /// Returns the waiting times of the row's workers.
    pub(crate) fn waits(self) -> Waits {
        let counts = std::array::from_fn(|bucket| self.word(WAITS + bucket).get());
        Waits::new(&counts, Duration::from_nanos(self.word(LONGEST_WAIT).get()))
    }
}
