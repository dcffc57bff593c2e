//! Keeps the settings of a lock, and checks them.

use std::time::Duration;

use crate::alarm::Listeners;
use crate::error::{Error, Result};

/// The TTL without a setting: a stopped machine delays the others by ten seconds.
pub const DEFAULT_TTL: Duration = Duration::from_secs(10);

/// How long a call that gives up waits for its own withdrawal, without a setting: enough for three
/// answers of servers that are well.
pub(crate) const DEFAULT_WITHDRAWAL_TIME: Duration = Duration::from_millis(250);

/// The settings that every acquisition of a handle uses.
pub(crate) struct Settings {
    pub(crate) ttl: Duration,
    pub(crate) margin: Duration,
    pub(crate) request_timeout: Duration,
    /// How long a call that gives up waits for its own withdrawal.
    pub(crate) withdrawal_time: Duration,
    pub(crate) description: String,
    pub(crate) listeners: Listeners,
}

/// Returns the margin without a setting: a tenth of the TTL. That covers clocks of which one runs
/// a tenth faster than the other. Quartz is far better; a daemon that corrects the time may be
/// worse (`docs/fleet.md`, on clocks), and then the margin has to be longer.
pub(crate) fn default_margin(ttl: Duration) -> Duration {
    ttl / 10
}

/// Returns the request timeout without a setting: four members can be asked within a TTL.
pub(crate) fn default_request_timeout(ttl: Duration) -> Duration {
    ttl / 4
}

/// Checks the three times against each other.
pub(crate) fn check(ttl: Duration, margin: Duration, request_timeout: Duration) -> Result<()> {
    let refuse = |reason| Err(Error::InvalidSettings { reason });
    if ttl < Duration::from_secs(1) || ttl.subsec_nanos() != 0 {
        return refuse("the TTL must be a whole number of seconds, at least 1, as in etcd");
    }
    if margin > ttl / 2 {
        return refuse("the margin must be half the TTL at most, or renewals come too late");
    }
    if request_timeout.is_zero() {
        return refuse("a request timeout of zero lets no request succeed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{DEFAULT_TTL, check, default_margin, default_request_timeout};

    #[test]
    fn times_that_cannot_work_are_refused() {
        let second = Duration::from_secs(1);
        let ttl = DEFAULT_TTL;
        assert!(check(ttl, default_margin(ttl), default_request_timeout(ttl)).is_ok());
        assert!(check(Duration::ZERO, Duration::ZERO, second).is_err());
        assert!(check(second + second / 2, Duration::ZERO, second).is_err());
        assert!(check(ttl, ttl, second).is_err());
        assert!(check(ttl, second, Duration::ZERO).is_err());
    }
}
