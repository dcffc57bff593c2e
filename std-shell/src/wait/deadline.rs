//! Says how long to wait. The clock of deadlines is read only if the wait has an end.

use std::time::{Duration, Instant};

use crate::wait::tuning::LONGEST_SLEEP;

/// Returns the time at which a sleep of this length ends that begins now. Any duration will do.
pub(crate) fn instant_after(limit: Duration) -> Instant {
    Instant::now() + limit.min(LONGEST_SLEEP)
}

/// How long a caller is willing to wait. Monotonic: a change of the wall clock moves nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deadline {
    /// One try.
    None,
    /// This long from when waiting begins. Zero is one try.
    For(Duration),
    /// Until this moment.
    Until(Instant),
    /// For ever.
    Forever,
}

impl Deadline {
    /// Fixes the end, as waiting begins. An end that the clock cannot count is none.
    pub(crate) fn beginning(self, now: Instant) -> Self {
        match self {
            Self::For(timeout) if timeout.is_zero() => Self::None,
            Self::For(timeout) => now.checked_add(timeout).map_or(Self::Forever, Self::Until),
            Self::Until(end) if end <= now => Self::None,
            fixed => fixed,
        }
    }

    /// Returns the time that is left, at most `interval`; `None` if there is none.
    pub(crate) fn clamp(self, interval: Duration) -> Option<Duration> {
        let left = match self {
            Self::None => return None,
            Self::Forever => return Some(interval),
            Self::For(timeout) => timeout,
            Self::Until(end) => end.saturating_duration_since(Instant::now()),
        };
        (!left.is_zero()).then(|| left.min(interval))
    }

    /// Returns `true` if [`beginning`](Self::beginning) needs a clock.
    pub(crate) fn has_end(self) -> bool {
        matches!(self, Self::For(_) | Self::Until(_))
    }

    pub(crate) fn is_one_try(self) -> bool {
        matches!(self, Self::None)
    }
}
