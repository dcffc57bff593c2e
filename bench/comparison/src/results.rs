//! Holds the measured values, and relates each to the reference of the same round.

use crate::contenders::Kind;
use crate::statistics::median;

/// The values of one figure for one contender, measured once.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// A value for each metric. NaN: there is none. Infinite: the event never happens.
    pub values: Vec<f64>,
    /// The number of lost counts.
    pub lost: u64,
    /// A histogram of the acquire times; empty if the figure has none.
    pub waits: Vec<u64>,
    /// Why this system does not allow the measurement; `None` if it took place.
    pub skipped: Option<String>,
}

impl Measured {
    /// Makes it of values alone, without lost counts.
    pub(crate) fn values(values: Vec<f64>) -> Self {
        Self { values, ..Self::default() }
    }

    /// Makes it of the reason why there are no values, for this number of metrics.
    pub(crate) fn skipped(reason: String, metrics: usize) -> Self {
        Self { skipped: Some(reason), ..Self::values(vec![f64::NAN; metrics]) }
    }
}

/// One figure of one contender in one round.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The round, from 1.
    pub round: usize,
    /// The contender.
    pub kind: Kind,
    /// The values.
    pub measured: Measured,
}

/// All rounds of one figure.
#[derive(Debug)]
pub(crate) struct Entries {
    /// The contender that the others are compared with.
    pub reference: Kind,
    /// The entries, in the order of measurement.
    pub list: Vec<Entry>,
}

impl Entries {
    /// Makes an empty list.
    pub(crate) fn beside(reference: Kind) -> Self {
        Self { reference, list: Vec::new() }
    }

    /// Returns the entries of one contender.
    pub(crate) fn by(&self, kind: Kind) -> impl Iterator<Item = &Entry> {
        self.list.iter().filter(move |entry| entry.kind == kind)
    }

    /// Returns the contenders with entries, in the order of the tables.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        Kind::ALL.iter().copied().filter(|kind| self.by(*kind).next().is_some()).collect()
    }

    /// Returns the values of one metric, by round.
    pub(crate) fn of(&self, kind: Kind, metric: usize) -> Vec<f64> {
        self.by(kind).map(|entry| entry.measured.values[metric]).collect()
    }

    /// Returns the ratio of the first metric to the reference's in the same round; `None` if the
    /// reference was not measured.
    pub(crate) fn ratio(&self, entry: &Entry) -> Option<f64> {
        let reference = self.by(self.reference).find(|reference| reference.round == entry.round);
        reference.map(|reference| entry.measured.values[0] / reference.measured.values[0])
    }

    /// Returns the median of the rounds' ratios.
    pub(crate) fn median_ratio(&self, kind: Kind) -> f64 {
        median(self.by(kind).filter_map(|entry| self.ratio(entry)).collect())
    }
}
