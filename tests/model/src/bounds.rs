//! How far a search goes: how many processes, and what may happen to them.

use crate::world::PROCESSES;

/// When a sleeper looks again without having been woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ticks {
    /// Never: so that a wake which is missing shows as a deadlock. Right only where nobody dies.
    Never,
    /// When the owner that it sleeps on is dead: so that a wake which is missing after a death
    /// shows.
    AfterDeath,
    /// At any moment, by its interval, by a signal or for no reason.
    Always,
}

/// Whom death may meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// Anybody, before any step.
    Anybody,
    /// Only who is in the section: so that nobody dies with a wake in its hands.
    Owner,
}

/// Which token a newcomer gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    /// The lowest that is free: tokens of the dead come back as soon as they can.
    Lowest,
    /// Any that is free.
    Any,
}

/// How a file is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Making {
    /// Whole and with its maker present, by `O_TMPFILE` and `linkat`.
    Whole,
    /// Empty, by `O_CREAT|O_EXCL`, and made whole by whoever opens it.
    Empty,
    /// Both kinds of processes meet.
    Either,
}

/// The bounds of one search.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How many processes, at most [`PROCESSES`].
    pub processes: usize,
    /// How often each visits the section, with one handle or with several.
    pub visits: u8,
    /// How many deaths there may be.
    pub deaths: u8,
    /// Whom they may meet.
    pub victim: Victim,
    /// How many processes may be stopped for ever, before any step: 0 or 1.
    pub frozen: u8,
    /// How often somebody outside of the protocol may remove the file.
    pub removals: u8,
    /// How often other code of a process may exchange the descriptor B for another one.
    pub exchanges: u8,
    /// When sleepers look again.
    pub ticks: Ticks,
    /// Whether calls have deadlines: a contender may give up, and so may who is kept from opening.
    pub impatient: bool,
    /// Whether a process may close without having tried to acquire.
    pub idle: bool,
    /// Which token a newcomer gets.
    pub draw: Draw,
    /// How a file is made.
    pub making: Making,
}

impl Bounds {
    /// So many processes with so many visits, to whom nothing happens and who wait as long as it
    /// takes.
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
            victim: Victim::Anybody,
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
