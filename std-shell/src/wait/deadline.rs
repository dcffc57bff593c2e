//! How long to wait. A clock is read only where waiting has an end.

use std::time::{Duration, Instant};

/// The longest that anything sleeps at one go; then it looks, and sleeps again. Arbitrary, but such
/// that the sum of this and any time on any clock can be represented.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Returns when to look again, if that is to be in `limit` at the latest. Any duration will do.
pub(crate) fn look_again(limit: Duration) -> Instant {
    Instant::now() + limit.min(LONGEST)
}

/// How long a caller is willing to wait. Monotonic, so a change of the wall clock moves nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deadline {
    /// One try.
    None,
    /// This long from when waiting begins. Zero is one try.
    For(Duration),
    /// Until this moment.
    Until(Instant),
    /// As long as it takes.
    Forever,
}

impl Deadline {
    /// With its end fixed, now that waiting begins. What the clock cannot count is for ever.
    pub(crate) fn beginning(self, now: Instant) -> Self {
        match self {
            Self::For(timeout) if timeout.is_zero() => Self::None,
            Self::For(timeout) => now.checked_add(timeout).map_or(Self::Forever, Self::Until),
            Self::Until(end) if end <= now => Self::None,
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

    /// Whether [`beginning`](Self::beginning) needs to know what time it is.
    pub(crate) fn has_end(self) -> bool {
        matches!(self, Self::For(_) | Self::Until(_))
    }

    pub(crate) fn is_one_try(self) -> bool {
        matches!(self, Self::None)
    }
}
