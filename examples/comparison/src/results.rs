//! What has been measured, and what is each worth beside the reference of the same round?

use crate::contenders::Kind;
use crate::statistics::median;

/// One figure of one contender in one round.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The round, from 1.
    pub round: usize,
    /// Whose.
    pub kind: Kind,
    /// A value for each metric.
    pub values: Vec<f64>,
    /// Counts that were lost.
    pub lost: u64,
}

/// All rounds of one figure.
#[derive(Debug, Default)]
pub(crate) struct Entries(pub Vec<Entry>);

impl Entries {
    /// The values of one metric, by round.
    pub(crate) fn of(&self, kind: Kind, metric: usize) -> Vec<f64> {
        self.0.iter().filter(|entry| entry.kind == kind).map(|entry| entry.values[metric]).collect()
    }

    /// The first metric beside the reference's in the same round; `None` if there is no reference.
    pub(crate) fn ratio(&self, entry: &Entry) -> Option<f64> {
        let of_reference = |other: &&Entry| other.kind == Kind::REFERENCE && other.round == entry.round;
        self.0.iter().find(of_reference).map(|reference| entry.values[0] / reference.values[0])
    }

    /// The median of the rounds' ratios.
    pub(crate) fn median_ratio(&self, kind: Kind) -> f64 {
        median(self.0.iter().filter(|entry| entry.kind == kind).filter_map(|entry| self.ratio(entry)).collect())
    }
}
