//! Bounds a search: how many processes, and what may happen to them.

use crate::world::PROCESSES;

/// When a sleeper retries without having been woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ticks {
    /// Never, so that a missing wake shows as a deadlock. Valid only where no process dies.
    Never,
    /// When the owner that it waits for is dead, so that a missing wake after a death shows.
    AfterDeath,
    /// At any moment: after its interval, after a signal, or spuriously.
    Always,
}

/// Which processes may die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// Any process, before any step.
    Any,
    /// Only a process in its critical section, so that no process dies while it owes a wake.
    Owner,
}

/// Which token a new handle draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    /// The lowest free one: tokens of the dead come back as soon as they can.
    Lowest,
    /// Any free one.
    Any,
}

/// The way in which a file is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Making {
    /// Whole and with its creator present, by `O_TMPFILE` and `linkat`.
    Whole,
    /// Empty, by `O_CREAT|O_EXCL`, and made whole by any process that opens it.
    Empty,
    /// Either way.
    Either,
}

/// The bounds of one search.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The number of processes, at most [`PROCESSES`].
    pub processes: usize,
    /// The number of critical sections of each process, with one handle or with several.
    pub visits: u8,
    /// The largest number of deaths.
    pub deaths: u8,
    /// Which processes may die.
    pub victim: Victim,
    /// The number of processes that may be stopped for ever, before any step: 0 or 1.
    pub frozen: u8,
    /// The largest number of removals by a process outside the protocol.
    pub removals: u8,
    /// The largest number of replacements of a descriptor B by other code of its process.
    pub exchanges: u8,
    /// When sleepers retry.
    pub ticks: Ticks,
    /// `true` if calls have deadlines: a waiter may give up, and so may a process that cannot open.
    pub impatient: bool,
    /// `true` if a process may close without having tried to acquire.
    pub idle: bool,
    /// Which token a new handle draws.
    pub draw: Draw,
    /// The way in which a file is created.
    pub making: Making,
}

impl Bounds {
    /// Returns the bounds of so many processes with so many visits, without faults and deadlines.
    ///
    /// # Panics
    /// If there are too many of either.
    #[must_use]
    pub const fn of(processes: usize, visits: u8) -> Self {
        assert!(processes <= PROCESSES && visits > 0, "not in these bounds");
        Self {
            processes,
            visits,
            deaths: 0,
            victim: Victim::Any,
            frozen: 0,
            removals: 0,
            exchanges: 0,
            ticks: Ticks::Always,
            impatient: false,
            idle: false,
            draw: Draw::Lowest,
            making: Making::Whole,
        }
    }
}
