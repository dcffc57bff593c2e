//! Reads the clock that counts from boot, `clock_gettime(2)`.
//!
//! A reading is slow in a process that has just been woken: neither the clock's page nor its code
//! is in a cache. So callers pass an instant on instead of reading the clock again.

use std::num::NonZeroU64;
use std::time::Duration;

use rustix::time::{ClockId, DynamicClockId, Timespec, clock_gettime_dynamic};

/// An instant in nanoseconds since boot, including time suspended: `CLOCK_BOOTTIME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BootInstant(NonZeroU64);

impl BootInstant {
    pub(crate) fn now() -> Self {
        // Not `clock_gettime`: it panics where this returns an error.
        match clock_gettime_dynamic(DynamicClockId::Known(ClockId::Boottime)) {
            Ok(time) => Self::at(time),
            Err(_) => Self::without_that_clock(),
        }
    }

    /// Reads the monotonic clock in place of a refused one; it differs only by suspensions. If that
    /// is refused too, time stands still.
    #[cold]
    fn without_that_clock() -> Self {
        clock_gettime_dynamic(DynamicClockId::Known(ClockId::Monotonic))
            .map_or(Self(NonZeroU64::MIN), Self::at)
    }

    fn at(time: Timespec) -> Self {
        // Neither is negative. The range ends 584 years after boot.
        let [seconds, nanos] =
            [u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec)].map(|part| part.unwrap_or(0));
        Self::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
    }

    fn from_nanos(nanos: u64) -> Self {
        Self(NonZeroU64::new(nanos).unwrap_or(NonZeroU64::MIN))
    }

    /// Returns the seconds since boot.
    pub(crate) fn seconds(self) -> u64 {
        self.0.get() / 1_000_000_000
    }

    /// Returns the time since boot.
    pub(crate) fn since_boot(self) -> Duration {
        Duration::from_nanos(self.0.get())
    }

    /// Returns the time from `earlier` to this instant; zero if `earlier` is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }

    /// Returns the time since this instant.
    pub(crate) fn elapsed(self) -> Duration {
        Self::now().since(self)
    }

    /// Returns the instant `time` later; the end of the range at most.
    pub(crate) fn after(self, time: Duration) -> Self {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }

    pub(crate) fn is_before(self, other: Self) -> bool {
        self.0 < other.0
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
        assert!(first.is_before(later) && !later.is_before(first) && !first.is_before(first));
        assert_eq!(
            (later.since(first), first.since(later)),
            (Duration::from_millis(2500), Duration::ZERO)
        );
        assert_eq!((first.seconds(), later.seconds()), (0, 2));
        assert_eq!(later.after(Duration::MAX), BootInstant::from_nanos(u64::MAX));
    }

    #[test]
    fn the_clock_goes_forward() {
        let first = BootInstant::now();
        assert!(!BootInstant::now().is_before(first) && first.elapsed() < Duration::from_secs(60));
    }
}
