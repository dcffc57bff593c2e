//! Which questions are asked of each contender?
//!
//! | file | its question |
//! |---|---|
//! | [`uncontended`] | U: what does a lock cost that nobody else wants? |
//! | [`contended`] | C: how much gets done when many want it, by whom, and at what price? |
//! | [`hand_off`] | H: how long is it nobody's between one and the next? |
//! | [`recovery`] | R: how long is it a dead one's? |
//! | [`waiting`] | W: what does it cost to wait, by itself? |
//! | [`seed`] | S: what does the measurement of the Python package say? |
//! | [`opening`] | O: what does it cost to come and go? |

pub(crate) mod contended;
pub(crate) mod hand_off;
pub(crate) mod opening;
pub(crate) mod recovery;
pub(crate) mod seed;
pub(crate) mod uncontended;
pub(crate) mod waiting;

use std::time::Duration;

use shmlock_bench_support::Result;

use crate::contenders::Kind;
use crate::results::Measured;

/// How much time to take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Whether little.
    pub quick: bool,
    /// The turns of a microsecond's work.
    pub microsecond: u64,
}

impl Effort {
    /// One of two amounts.
    pub(crate) fn pick<T>(self, quick: T, thorough: T) -> T {
        if self.quick { quick } else { thorough }
    }

    /// One of two times, in milliseconds.
    pub(crate) fn millis(self, quick: u64, thorough: u64) -> Duration {
        Duration::from_millis(self.pick(quick, thorough))
    }
}

/// What kind of number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Nanoseconds.
    Time,
    /// Events in a second.
    Rate,
    /// Just a number.
    Plain,
    /// A whole number.
    Count,
}

/// A column of a figure's table.
pub(crate) type Metric = (&'static str, Unit);

/// One figure: a question under certain conditions. Its first metric is compared with the
/// reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// U.
    Uncontended,
    /// C, for so many processes, with a microsecond of work or none.
    Contended {
        /// How many.
        processes: usize,
        /// Whether there is work.
        work: bool,
    },
    /// H.
    HandOff {
        /// For how many milliseconds who waits has been asleep, on average; 0 if it has just
        /// arrived.
        asleep: u64,
    },
    /// R.
    Recovery {
        /// How long who waits has waited, in milliseconds.
        waited: u64,
    },
    /// W.
    Waiting,
    /// S.
    Seed,
    /// O.
    Opening,
}

impl Figure {
    /// Its letter.
    pub(crate) fn letter(self) -> char {
        match self {
            Self::Uncontended => 'U',
            Self::Contended { .. } => 'C',
            Self::HandOff { .. } => 'H',
            Self::Recovery { .. } => 'R',
            Self::Waiting => 'W',
            Self::Seed => 'S',
            Self::Opening => 'O',
        }
    }

    /// What stands above its table.
    pub(crate) fn title(self) -> String {
        match self {
            Self::Uncontended => "U: uncontended, lock and unlock".to_owned(),
            Self::Contended { processes, work } => {
                format!(
                    "C: {processes} processes, {}",
                    if work { "1 us of work" } else { "empty section" }
                )
            }
            Self::HandOff { asleep: 0 } => {
                "H: hand-off to a waiter that has just arrived".to_owned()
            }
            Self::HandOff { asleep } => {
                format!(
                    "H: hand-off to a waiter that has been asleep for {:?}",
                    Duration::from_millis(asleep)
                )
            }
            Self::Recovery { waited } => {
                format!("R: holder killed, waiter has waited {:?}", Duration::from_millis(waited))
            }
            Self::Waiting => {
                format!("W: one of {} waiters, for each second of waiting", waiting::WAITERS)
            }
            Self::Seed => "S: 15 processes, 1000 increments each, lock + add + unlock".to_owned(),
            Self::Opening => "O: open an existing lock, use it once, close it".to_owned(),
        }
    }

    /// What its drawing is called.
    pub(crate) fn file_name(self) -> String {
        match self {
            Self::Uncontended => "uncontended".to_owned(),
            Self::Contended { processes, work } => {
                format!("contended-{processes}-{}", if work { "work" } else { "empty" })
            }
            Self::HandOff { asleep: 0 } => "hand-off-arrived".to_owned(),
            Self::HandOff { asleep } => format!("hand-off-asleep-{asleep}-ms"),
            Self::Recovery { waited } => format!("recovery-{waited}-ms"),
            Self::Waiting => "waiting".to_owned(),
            Self::Seed => "seed".to_owned(),
            Self::Opening => "opening".to_owned(),
        }
    }

    /// Its columns.
    pub(crate) fn metrics(self) -> &'static [Metric] {
        match self {
            Self::Uncontended => &uncontended::METRICS,
            Self::Contended { .. } => &contended::METRICS,
            Self::HandOff { .. } => &hand_off::METRICS,
            Self::Recovery { .. } => &recovery::METRICS,
            Self::Waiting => &waiting::METRICS,
            Self::Seed => &seed::METRICS,
            Self::Opening => &opening::METRICS,
        }
    }

    /// Whether the question can be asked of this contender.
    pub(crate) fn suits(self, kind: Kind) -> bool {
        match self {
            Self::Uncontended => true,
            Self::Contended { .. } | Self::Seed | Self::Opening => kind.is_shared(),
            Self::HandOff { .. } | Self::Recovery { .. } | Self::Waiting => {
                kind.is_shared() && kind.excludes()
            }
        }
    }

    /// Asks it once.
    pub(crate) fn measure(self, kind: Kind, effort: Effort) -> Result<Measured> {
        match self {
            Self::Uncontended => uncontended::measure(kind, effort),
            Self::Contended { processes, work } => {
                contended::measure(kind, effort, processes, work)
            }
            Self::HandOff { asleep } => {
                hand_off::measure(kind, effort, Duration::from_millis(asleep))
            }
            Self::Recovery { waited } => {
                recovery::measure(kind, effort, Duration::from_millis(waited))
            }
            Self::Waiting => waiting::measure(kind, effort),
            Self::Seed => seed::measure(kind),
            Self::Opening => opening::measure(kind, effort),
        }
    }
}

/// As a number to calculate with; exact up to 2^53, which is 104 days in nanoseconds.
#[expect(clippy::cast_precision_loss, reason = "see above")]
pub(crate) fn float(value: u64) -> f64 {
    value as f64
}
