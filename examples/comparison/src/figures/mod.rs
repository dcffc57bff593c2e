//! Which questions are asked of each contender?
//!
//! | file | its question |
//! |---|---|
//! | [`uncontended`] | U: what does a lock cost that nobody else wants? |
//! | [`contended`] | C: how much gets done when many want it, by whom, and at what price? |
//! | [`seed`] | S: what does the measurement of the Python package say? |
//! | [`opening`] | O: what does it cost to come and go? |

pub(crate) mod contended;
pub(crate) mod opening;
pub(crate) mod seed;
pub(crate) mod uncontended;

use std::time::Duration;

use shmlock_examples::Result;

use crate::contenders::Kind;

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
}

/// A column of a figure's table.
pub(crate) type Metric = (&'static str, Unit);

/// One figure: a question under certain conditions. Its first metric is the one that is compared with the reference.
#[derive(Clone, Copy, Debug)]
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
    /// S.
    Seed,
    /// O.
    Opening,
}

impl Figure {
    /// All of those whose letters are asked for.
    pub(crate) fn all(letters: &str) -> Vec<Self> {
        let contended = [2, 4, 15, 64]
            .into_iter()
            .flat_map(|processes| [false, true].map(|work| Self::Contended { processes, work }));
        let all = [Self::Uncontended].into_iter().chain(contended).chain([Self::Seed, Self::Opening]);
        all.filter(|figure| letters.contains(figure.letter())).collect()
    }

    /// Its letter.
    pub(crate) fn letter(self) -> char {
        match self {
            Self::Uncontended => 'U',
            Self::Contended { .. } => 'C',
            Self::Seed => 'S',
            Self::Opening => 'O',
        }
    }

    /// What stands above its table.
    pub(crate) fn title(self) -> String {
        match self {
            Self::Uncontended => "U: uncontended, lock and unlock".to_owned(),
            Self::Contended { processes, work } => {
                format!("C: {processes} processes, {}", if work { "1 us of work" } else { "empty section" })
            }
            Self::Seed => "S: 15 processes, 1000 increments each, lock + add + unlock".to_owned(),
            Self::Opening => "O: open an existing lock, use it once, close it".to_owned(),
        }
    }

    /// Its columns.
    pub(crate) fn metrics(self) -> &'static [Metric] {
        match self {
            Self::Uncontended => &uncontended::METRICS,
            Self::Contended { .. } => &contended::METRICS,
            Self::Seed => &seed::METRICS,
            Self::Opening => &opening::METRICS,
        }
    }

    /// Whether the question can be asked of this contender.
    pub(crate) fn suits(self, kind: Kind) -> bool {
        match self {
            Self::Uncontended => true,
            Self::Contended { .. } | Self::Seed | Self::Opening => kind.is_shared(),
        }
    }

    /// Asks it once: a value for each metric, and how many counts were lost.
    pub(crate) fn measure(self, kind: Kind, effort: Effort) -> Result<(Vec<f64>, u64)> {
        match self {
            Self::Uncontended => uncontended::measure(kind, effort),
            Self::Contended { processes, work } => contended::measure(kind, effort, processes, work),
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
