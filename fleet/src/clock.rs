//! Reads the clock by which a lease is judged: the time since boot, suspended time included.
//!
//! `CLOCK_BOOTTIME` of `clock_gettime(2)`. `CLOCK_MONOTONIC` stands still while the machine is
//! suspended, and etcd's clock does not.

use std::time::Duration;

use rustix::time::{ClockId, DynamicClockId, Timespec, clock_gettime_dynamic};

/// An instant in nanoseconds since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct BootInstant(u64);

impl BootInstant {
    /// Reads the clock. A refused clock reads as the end of time: then every lease has ended.
    pub(crate) fn now() -> Self {
        // Not `clock_gettime`: it panics where this returns an error.
        match clock_gettime_dynamic(DynamicClockId::Known(ClockId::Boottime)) {
            Ok(Timespec { tv_sec, tv_nsec }) => {
                let [seconds, nanos] =
                    [tv_sec, tv_nsec].map(|part| u64::try_from(part).unwrap_or(0));
                Self(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
            }
            Err(_) => Self(u64::MAX),
        }
    }

    /// Makes an instant of a number of nanoseconds, for the model and for tests.
    #[cfg(test)]
    pub(crate) const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Returns the instant `time` later, the end of the range at most.
    pub(crate) fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Returns the time from this instant to `later`; zero if `later` is earlier.
    pub(crate) fn until(self, later: Self) -> Duration {
        Duration::from_nanos(later.0.saturating_sub(self.0))
    }

    /// Returns the instant as the argument of a timer; never zero, which would disarm it.
    pub(crate) fn as_timespec(self) -> Timespec {
        let nanos = self.0.max(1);
        let part = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let mut time = Timespec { tv_sec: 0, tv_nsec: 0 };
        time.tv_sec = part(nanos / 1_000_000_000);
        // The field has the width of the target's `long`; the value is below 10^9.
        #[allow(clippy::useless_conversion, clippy::unnecessary_fallible_conversions)]
        {
            time.tv_nsec = (nanos % 1_000_000_000).try_into().unwrap_or_default();
        }
        time
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::BootInstant;

    #[test]
    fn instants_have_an_order_distances_and_an_end() {
        let first = BootInstant::from_nanos(0);
        let later = first.after(Duration::from_millis(2500));
        assert!(first < later);
        assert_eq!(first.until(later), Duration::from_millis(2500));
        assert_eq!(later.until(first), Duration::ZERO);
        assert_eq!(later.after(Duration::MAX), BootInstant::from_nanos(u64::MAX));
        assert_eq!(later.as_timespec().tv_sec, 2);
        assert_eq!(first.as_timespec().tv_nsec, 1, "zero would disarm a timer");
    }

    #[test]
    fn the_clock_goes_forward() {
        let first = BootInstant::now();
        assert!(BootInstant::now() >= first);
        assert_ne!(first, BootInstant::from_nanos(u64::MAX), "this kernel has the clock");
    }
}
