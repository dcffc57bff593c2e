//! How long to wait. Reads a clock only when there is something to wait for, and an end to that.

use std::time::{Duration, Instant};

/// How long a caller is willing to wait. Monotonic, so a change of the wall clock moves nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Patience {
    /// One try.
    None,
    /// This long from when waiting begins. Zero is one try.
    For(Duration),
    /// Until this moment.
    Until(Instant),
    /// As long as it takes.
    Forever,
}

impl Patience {
    /// With its end fixed, now that waiting begins. What the clock cannot count is for ever.
    pub(crate) fn beginning(self) -> Self {
        match self {
            Self::For(timeout) if timeout.is_zero() => Self::None,
            Self::For(timeout) => Instant::now().checked_add(timeout).map_or(Self::Forever, Self::Until),
            Self::Until(end) if end <= Instant::now() => Self::None,
            fixed => fixed,
        }
    }

    /// What is left of it, at most `interval`; `None` if it is over.
    pub(crate) fn clamp(self, interval: Duration) -> Option<Duration> {
        let left = match self {
            Self::None => return None,
            Self::Forever => return Some(interval),
            Self::For(timeout) => timeout,
            Self::Until(end) => end.saturating_duration_since(Instant::now()),
        };
        (!left.is_zero()).then(|| left.min(interval))
    }

    pub(crate) fn is_one_try(self) -> bool {
        matches!(self, Self::None)
    }
}
