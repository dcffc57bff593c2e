//! What has been measured, and what is each worth beside the reference of the same round?

use crate::contenders::Kind;
use crate::statistics::median;

/// What one figure says of one contender, once.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// A value for each metric. Not a number: there is none. Infinite: it never happens.
    pub values: Vec<f64>,
    /// Counts that were lost.
    pub lost: u64,
    /// How long each acquire took, if that was asked: the counts of a histogram.
    pub waits: Vec<u64>,
}

impl Measured {
    /// Where nothing was counted under the lock, or all counts were there.
    pub(crate) fn values(values: Vec<f64>) -> Self {
        Self { values, ..Self::default() }
    }
}

/// One figure of one contender in one round.
#[derive(Debug)]
pub(crate) struct Entry {
    /// The round, from 1.
    pub round: usize,
    /// Whose.
    pub kind: Kind,
    /// What.
    pub measured: Measured,
}

/// All rounds of one figure.
#[derive(Debug)]
pub(crate) struct Entries {
    /// What the contenders are compared with.
    pub reference: Kind,
    /// In the order in which they were measured.
    pub list: Vec<Entry>,
}

impl Entries {
    /// None yet.
    pub(crate) fn beside(reference: Kind) -> Self {
        Self { reference, list: Vec::new() }
    }

    /// Those of one contender.
    pub(crate) fn by(&self, kind: Kind) -> impl Iterator<Item = &Entry> {
        self.list.iter().filter(move |entry| entry.kind == kind)
    }

    /// Who has any, in the order of the tables.
    pub(crate) fn kinds(&self) -> Vec<Kind> {
        Kind::ALL.iter().copied().filter(|kind| self.by(*kind).next().is_some()).collect()
    }

    /// The values of one metric, by round.
    pub(crate) fn of(&self, kind: Kind, metric: usize) -> Vec<f64> {
        self.by(kind).map(|entry| entry.measured.values[metric]).collect()
    }

    /// The first metric beside the reference's in the same round; `None` if there is no reference.
    pub(crate) fn ratio(&self, entry: &Entry) -> Option<f64> {
        let reference = self.by(self.reference).find(|reference| reference.round == entry.round);
        reference.map(|reference| entry.measured.values[0] / reference.measured.values[0])
    }

    /// The median of the rounds' ratios.
    pub(crate) fn median_ratio(&self, kind: Kind) -> f64 {
        median(self.by(kind).filter_map(|entry| self.ratio(entry)).collect())
    }
}
