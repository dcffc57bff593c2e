//! Defines what a search includes, and the promises.

use std::time::Duration;

use super::flaw::Flaw;
use crate::settings::default_margin;

/// One tick of the servers' clocks, in units of the model.
pub(super) const TICK: u16 = 100;

/// The units that the slowest clock counts within a tick of the servers. It differs by the ratio
/// of margin to TTL: with the margin without a setting, a tenth.
pub(super) const SLOW: u16 = 90;

/// What a search includes.
#[derive(Clone, Copy, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each leaves one kind of event out")]
pub(super) struct Scope {
    /// The number of contenders that may be under way at once.
    pub(super) contenders: usize,
    /// The number of keys that may stand at once.
    pub(super) keys: usize,
    /// The TTL in ticks of the servers.
    pub(super) ttl: u8,
    /// The units that a contender's clock may count within a tick.
    pub(super) rates: &'static [u16],
    /// Whether leases are renewed.
    pub(super) renewals: bool,
    /// Whether an election happens, at any time and any number of times.
    pub(super) elections: bool,
    /// Whether requests arrive late or twice, one at a time.
    pub(super) strays: bool,
    /// Whether an administrator deletes keys.
    pub(super) deletions: bool,
    /// Whether a contender dies, or the request that withdraws its key is lost.
    pub(super) deaths: bool,
    /// Whether a watch falls silent.
    pub(super) silence: bool,
    /// Whether a contender may try once instead of waiting.
    pub(super) tries: bool,
    /// Whether keep-alives and grants are counted from earlier than their arrival.
    pub(super) slow_requests: bool,
    /// Whether holders write to the store, which then is the judge of the tokens.
    pub(super) writes: bool,
    /// Whether two holders at once break a promise.
    pub(super) exclusion: bool,
    /// Whether each state is followed until all contenders have had the lock.
    pub(super) progress: bool,
    pub(super) flaw: Option<Flaw>,
}

impl Scope {
    pub(super) const fn with(self, flaw: Flaw) -> Self {
        Self { flaw: Some(flaw), ..self }
    }

    pub(super) fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// Returns the TTL in units: a unit is a nanosecond for the product's code.
    pub(super) fn ttl(&self) -> Duration {
        Duration::from_nanos(u64::from(self.ttl) * u64::from(TICK))
    }

    pub(super) fn margin(&self) -> Duration {
        if self.has(Flaw::NoMargin) { Duration::ZERO } else { default_margin(self.ttl()) }
    }
}

/// A broken promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Breach {
    /// Two contenders believe that they hold the lock, and no administrator has deleted the key of
    /// either.
    TwoHolders,
    /// A token was not greater than that of an earlier acquisition.
    TokenNotRisen,
    /// The store accepted the write of an acquisition after that of a later one.
    WentBack,
    /// The store refused the write of the latest acquisition.
    HolderRefused,
    /// The lock was acquired with a lease that had ended by the own clock.
    AcquiredLost,
    /// The lock was acquired although the reading had not found the own key.
    AcquiredWithoutKey,
    /// A renewal was accepted although the reading had not found the key.
    RenewedWithoutKey,
    /// A renewal has shown that the lease or the own key is gone, and the lock counts as held.
    HeldWithoutKey,
    /// A lost lock was held again without a new acquisition.
    LossUndone,
    /// The own key, or the one before it, is gone, and a watch that works has not told its waiter.
    Overslept,
    /// A waiter was told although both keys stand.
    WokenInVain,
    /// A contender does not get the lock in time, although all faults have ended.
    Stuck,
}
