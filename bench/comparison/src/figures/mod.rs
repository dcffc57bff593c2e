//! Defines the figures: the measurements of a contender.
//!
//! | file | figure |
//! |---|---|
//! | [`uncontended`] | U: the time of a lock and unlock without contention |
//! | [`contended`] | C: throughput, fairness, processor time and waits of many processes |
//! | [`hand_off`] | H: the time from a release to the waiter's acquisition |
//! | [`recovery`] | R: the time from an owner's death to the waiter's acquisition |
//! | [`waiting`] | W: wake-ups and processor time of waiters |
//! | [`draining`] | D: the time in which a crowd of waiting processes comes to its end |
//! | [`seed`] | S: the measurement of the Python package |
//! | [`opening`] | O: the time to open, use and close a lock |
//! | [`opening_at_once`] | O: the same by several processes at once |
//! | [`handles`] | O: many handles of one name in one process |

pub(crate) mod contended;
pub(crate) mod draining;
pub(crate) mod hand_off;
pub(crate) mod handles;
pub(crate) mod opening;
pub(crate) mod opening_at_once;
pub(crate) mod recovery;
pub(crate) mod seed;
pub(crate) mod uncontended;
pub(crate) mod waiting;

use std::time::Duration;

use shmlock_bench_support::Result;

use crate::contenders::Kind;
use crate::crowd::Size;
use crate::results::{Entries, Measured};

/// The effort of a measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Little.
    pub quick: bool,
    /// The turns of a microsecond of work.
    pub microsecond: u64,
}

impl Effort {
    /// Returns the amount for this effort.
    pub(crate) fn pick<T>(self, quick: T, thorough: T) -> T {
        if self.quick { quick } else { thorough }
    }

    /// Returns the time for this effort, of two in milliseconds.
    pub(crate) fn millis(self, quick: u64, thorough: u64) -> Duration {
        Duration::from_millis(self.pick(quick, thorough))
    }
}

/// The unit of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Nanoseconds.
    Time,
    /// Events per second.
    Rate,
    /// A number without a unit.
    Plain,
    /// A whole number.
    Count,
}

/// A column of a figure's table.
pub(crate) type Metric = (&'static str, Unit);

/// The values, by figure.
pub(crate) type Results = Vec<(Figure, Entries)>;

/// A figure: a measurement under certain conditions. Its first metric is compared with the
/// reference's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Figure U.
    Uncontended,
    /// Figure C.
    Contended {
        /// The number of processes.
        processes: usize,
        /// A microsecond of work in each critical section, or none.
        work: bool,
    },
    /// Figure H.
    HandOff {
        /// The waiter's mean sleep before the hand-off, in milliseconds; 0 if it has just arrived.
        asleep: u64,
    },
    /// Figure R.
    Recovery {
        /// The waiter's wait before the kill, in milliseconds.
        waited: u64,
        /// The owner's memory, in MiB; 0 for a small owner.
        memory: u64,
    },
    /// Figure W.
    Waiting(Size),
    /// Figure D.
    Draining {
        /// The number of waiting processes.
        processes: u32,
    },
    /// Figure S.
    Seed,
    /// Figure O.
    Opening,
    /// Figure O, by several processes at once.
    OpeningAtOnce {
        /// The number of processes.
        processes: usize,
    },
    /// Figure O, of many handles in one process.
    Handles {
        /// The number of handles.
        handles: usize,
    },
}

impl Figure {
    /// Returns its letter.
    pub(crate) fn letter(self) -> char {
        match self {
            Self::Uncontended => 'U',
            Self::Contended { .. } => 'C',
            Self::HandOff { .. } => 'H',
            Self::Recovery { .. } => 'R',
            Self::Waiting(_) => 'W',
            Self::Draining { .. } => 'D',
            Self::Seed => 'S',
            Self::Opening | Self::OpeningAtOnce { .. } | Self::Handles { .. } => 'O',
        }
    }

    /// Returns the title of its table.
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
            Self::Recovery { waited, memory } => {
                let owner =
                    if memory == 0 { "owner".to_owned() } else { format!("{memory} MiB owner") };
                let waited = Duration::from_millis(waited);
                format!("R: {owner} killed, waiter has waited {waited:?}")
            }
            Self::Waiting(size) => format!("W: {}, the lock stands still", size.label()),
            Self::Draining { processes } => {
                format!("D: {processes} waiting processes, each acquires once and ends")
            }
            Self::Seed => "S: 15 processes, 1000 increments each, lock + add + unlock".to_owned(),
            Self::Opening => "O: open an existing lock, use it once, close it".to_owned(),
            Self::OpeningAtOnce { processes } => {
                format!("O: {processes} processes open, use and close an existing lock at once")
            }
            Self::Handles { handles } => {
                format!("O: {handles} handles of one name in one process")
            }
        }
    }

    /// Returns the name of its plot.
    pub(crate) fn file_name(self) -> String {
        match self {
            Self::Uncontended => "uncontended".to_owned(),
            Self::Contended { processes, work } => {
                format!("contended-{processes}-{}", if work { "work" } else { "empty" })
            }
            Self::HandOff { asleep: 0 } => "hand-off-arrived".to_owned(),
            Self::HandOff { asleep } => format!("hand-off-asleep-{asleep}-ms"),
            Self::Recovery { waited, memory: 0 } => format!("recovery-{waited}-ms"),
            Self::Recovery { waited, memory } => format!("recovery-{waited}-ms-{memory}-mib"),
            Self::Waiting(Size { processes, threads }) => {
                format!("waiting-{processes}-processes-{threads}-threads")
            }
            Self::Draining { processes } => format!("draining-{processes}"),
            Self::Seed => "seed".to_owned(),
            Self::Opening => "opening".to_owned(),
            Self::OpeningAtOnce { processes } => format!("opening-{processes}-at-once"),
            Self::Handles { handles } => format!("opening-{handles}-handles"),
        }
    }

    /// Returns its columns.
    pub(crate) fn metrics(self) -> &'static [Metric] {
        match self {
            Self::Uncontended => &uncontended::METRICS,
            Self::Contended { .. } => &contended::METRICS,
            Self::HandOff { .. } => &hand_off::METRICS,
            Self::Recovery { .. } => &recovery::METRICS,
            Self::Waiting(_) => &waiting::METRICS,
            Self::Draining { .. } => &draining::METRICS,
            Self::Seed => &seed::METRICS,
            Self::Opening => &opening::METRICS,
            Self::OpeningAtOnce { .. } => &opening_at_once::METRICS,
            Self::Handles { .. } => &handles::METRICS,
        }
    }

    /// Returns `true` if this contender can take part.
    pub(crate) fn suits(self, kind: Kind) -> bool {
        match self {
            Self::Uncontended => kind.is_uncontended(),
            Self::Contended { .. } | Self::Seed | Self::Opening => kind.is_shared(),
            Self::HandOff { .. } | Self::OpeningAtOnce { .. } => {
                kind.is_shared() && kind.excludes()
            }
            Self::Recovery { memory: 0, .. } => {
                kind.recovers() || (kind.is_shared() && kind.excludes())
            }
            Self::Waiting(waiting::SWEPT) => kind.is_ours(),
            Self::Recovery { .. }
            | Self::Waiting(_)
            | Self::Draining { .. }
            | Self::Handles { .. } => kind.is_main(),
        }
    }

    /// Returns the most rounds for it: a figure that starts thousands of waiters takes long, and
    /// hardly varies.
    pub(crate) fn most_rounds(self) -> usize {
        if matches!(self, Self::Waiting(_) | Self::Draining { .. }) { 2 } else { usize::MAX }
    }

    /// Measures it once.
    pub(crate) fn measure(self, kind: Kind, effort: Effort) -> Result<Measured> {
        match self {
            Self::Uncontended => uncontended::measure(kind, effort),
            Self::Contended { processes, work } => {
                contended::measure(kind, effort, processes, work)
            }
            Self::HandOff { asleep } => {
                hand_off::measure(kind, effort, Duration::from_millis(asleep))
            }
            Self::Recovery { waited, memory } => {
                recovery::measure(kind, effort, Duration::from_millis(waited), memory << 20)
            }
            Self::Waiting(size) => waiting::measure(kind, effort, size),
            Self::Draining { processes } => draining::measure(kind, effort, processes),
            Self::Seed => seed::measure(kind, effort),
            Self::Opening => opening::measure(kind, effort),
            Self::OpeningAtOnce { processes } => opening_at_once::measure(kind, effort, processes),
            Self::Handles { handles } => handles::measure(kind, handles),
        }
    }
}
