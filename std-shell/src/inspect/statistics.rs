//! How much a lock is used. What costs nothing is always counted; what costs a clock only on
//! request.

use std::fmt;
use std::time::Duration;

use shmlock_core::Region;

/// The use of a lock in the life of its file, by all processes, as one look shows it.
///
/// With the feature `serde`, `longest_hold` is serialised in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Statistics {
    /// How often it was acquired; nested acquisitions are not counted. To a holder it is the
    /// fencing token.
    pub acquisitions: u64,
    /// How many of these found it held by another, and so had to wait or to recover; modulo 2^32.
    pub contended: u32,
    /// How many dead owners were replaced; modulo 2^32.
    pub recoveries: u32,
    /// The longest that it was held by a handle with
    /// [`Builder::measure_holds`](crate::Builder::measure_holds); `None` if there was none. A hold
    /// that is not over is not in it, nor one that ended by death.
    #[cfg_attr(feature = "serde", serde(serialize_with = "in_seconds"))]
    pub longest_hold: Option<Duration>,
}

#[cfg(feature = "serde")]
#[allow(clippy::ref_option, reason = "as serde calls it")]
fn in_seconds<S: serde::Serializer>(
    time: &Option<Duration>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&time.map(|time| time.as_secs_f64()), serializer)
}

impl Statistics {
    pub(crate) fn of(region: Region<'_>, longest_hold: Option<Duration>) -> Self {
        Self {
            acquisitions: region.acquisitions(),
            contended: region.contended(),
            recoveries: region.recoveries(),
            longest_hold,
        }
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acquisitions, contended, recoveries, longest_hold } = self;
        write!(f, "{acquisitions} acquisitions, {contended} contended, {recoveries} recoveries")?;
        longest_hold.map_or(Ok(()), |hold| write!(f, ", longest hold {hold:?}"))
    }
}
