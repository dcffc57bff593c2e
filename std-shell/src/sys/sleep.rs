//! Sleeps for a time, nanosleep(2).

use std::time::Duration;

use rustix::thread::{NanosleepRelativeResult, nanosleep};
use rustix::time::Timespec;

/// Sleeps for `interval`, or until a signal is handled; returns `true` for a signal. If
/// nanosleep(2) is refused, yields the CPU.
pub(crate) fn sleep_for(interval: Duration) -> bool {
    match nanosleep(&timespec(interval)) {
        NanosleepRelativeResult::Ok => false,
        NanosleepRelativeResult::Interrupted(_) => true,
        NanosleepRelativeResult::Err(_) => {
            std::thread::yield_now();
            false
        }
    }
}

/// The longest single sleep; a caller that wants more sleeps again. Arbitrary, but the sum of it
/// and any time on any clock can be represented.
pub(crate) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) fn timespec(duration: Duration) -> Timespec {
    let duration = duration.min(LONGEST);
    // A day's seconds fit every width that `tv_sec` has.
    Timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or_default(),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
