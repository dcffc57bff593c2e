//! Checks that nothing was lost: one terminal's result, in words and as an exit status.

use std::ops::Range;
use std::process::ExitCode;

use crate::board::{Board, Row};
use crate::waits::Waits;
use crate::workers::Outcome;

/// The board at the end of one terminal's part.
#[derive(Debug)]
pub(crate) struct Account {
    counter: u64,
    /// The tallies of all terminals.
    sum_of_tallies: u64,
    /// The rows of this terminal.
    rows: Vec<RowAccount>,
}

#[derive(Debug)]
struct RowAccount {
    pid: u64,
    share: u64,
    tally: u64,
    deaths: u64,
    recoveries: u64,
    waits: Waits,
}

impl RowAccount {
    fn read(row: Row<'_>) -> Self {
        Self {
            pid: row.pid(),
            share: row.share().get(),
            tally: row.tally().get(),
            deaths: row.deaths().get(),
            recoveries: row.recoveries().get(),
            waits: row.waits(),
        }
    }
}

impl Account {
    /// Reads the board. `rows` belong to this terminal.
    pub(crate) fn read(board: &Board, rows: Range<usize>) -> Self {
        Self {
            counter: board.counter().get(),
            sum_of_tallies: board.sum_of_tallies(),
            rows: board.rows(rows).map(RowAccount::read).collect(),
        }
    }

    /// Prints the account and returns the exit status. Only the `last` terminal to leave sees the
    /// final counter.
    pub(crate) fn print(&self, outcome: &Outcome, no_lock: bool, last: bool) -> ExitCode {
        self.print_workers(outcome);
        let own_part_is_right = self.print_own_part(outcome);
        let whole_is_right = self.print_whole(no_lock, last);
        if own_part_is_right && whole_is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn sum(&self, of: impl Fn(&RowAccount) -> u64) -> u64 {
        self.rows.iter().map(of).sum()
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate is printed with few digits")]
    fn print_workers(&self, outcome: &Outcome) {
        let mut waits = Waits::none();
        println!("   process  increments  recoveries    median      99 %   longest wait");
        for row in &self.rows {
            println!("{:>10}  {:>10}  {:>10}{}", row.pid, row.tally, row.recoveries, row.waits);
            waits.add(&row.waits);
        }
        let (increments, seconds) = (self.sum(|row| row.tally), outcome.elapsed.as_secs_f64());
        println!("{:>10}  {increments:>10}  {:>10}{waits}", "all", self.sum(|row| row.recoveries));
        println!("{seconds:.2} s, {:.0} increments per second", increments as f64 / seconds);
    }

    /// Checks that each share is done, and that the next owner reported each worker killed in its
    /// critical section exactly once.
    fn print_own_part(&self, outcome: &Outcome) -> bool {
        let Outcome { killed, killed_by_others, .. } = *outcome;
        let deaths = self.sum(|row| row.deaths);
        if killed + killed_by_others > 0 {
            println!(
                "killed while they held the lock: {killed}, reported by the next owners: {deaths}"
            );
        }
        if killed_by_others > 0 {
            println!("killed by other processes, with or without the lock: {killed_by_others}");
        }
        // A worker killed by another process may have held the lock or not.
        let deaths_are_right = (killed..=killed + killed_by_others).contains(&deaths);
        let shares_are_right = self.rows.iter().all(|row| row.tally == row.share);
        if !deaths_are_right {
            println!("WRONG: a killed worker was not reported, or was reported twice");
        }
        if !shares_are_right {
            println!(
                "WRONG: {} of {} increments were done",
                self.sum(|row| row.tally),
                self.sum(|row| row.share)
            );
        }
        deaths_are_right && shares_are_right
    }

    /// Compares the counter with the increments of all terminals.
    fn print_whole(&self, no_lock: bool, last: bool) -> bool {
        let (counter, done) = (self.counter, self.sum_of_tallies);
        let missing = done.abs_diff(counter);
        if !last {
            println!("other terminals are still running, and the last one counts again; so far:");
        }
        print!("counter {counter} after {done} increments: ");
        match (missing, no_lock) {
            (0, false) => println!("nothing was lost"),
            (0, true) => {
                println!("nothing was lost, by chance; try more --processes or --increments");
            }
            (_, true) => println!("{missing} were lost, because there was no lock"),
            (_, false) => println!("WRONG by {missing}, although there is a lock"),
        }
        missing == 0 || no_lock
    }
}
