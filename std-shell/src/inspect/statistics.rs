//! Reads the counters of a lock. Only the longest hold needs a clock, and is measured on request.

use std::fmt;
use std::time::Duration;

use shmlock_core::Region;

/// The use of a lock by all processes in the life of its file.
///
/// With the feature `serde`, `longest_hold` is serialised in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Statistics {
    /// The number of acquisitions without nested ones; to the owner, its fencing token.
    pub acquisitions: u64,
    /// The number of acquisitions that found another owner, and waited or recovered; modulo 2^32.
    pub contended: u32,
    /// The number of recoveries from a dead owner; modulo 2^32.
    pub recoveries: u32,
    /// The longest hold of a handle with
    /// [`Builder::measure_holds`](crate::Builder::measure_holds); `None` if there was none. It does
    /// not include the present hold, nor a hold that ended by a death.
    #[cfg_attr(feature = "serde", serde(serialize_with = "in_seconds"))]
    pub longest_hold: Option<Duration>,
}

#[cfg(feature = "serde")]
#[allow(clippy::ref_option, reason = "serde calls it so")]
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
