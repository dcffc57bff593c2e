//! Defines one state of the model.

use std::time::Duration;

use super::flaw::Flaw;
use super::server::{Answer, Request, Server, Store, TTL};
use crate::clock::BootInstant;
use crate::hold::LeaseState;
use crate::protocol::own_deadline;

pub(super) const CONTENDERS: usize = 2;
/// The contender whose requests are answered at once, at any time. The other one's are lost, late
/// or doubled.
pub(super) const PROMPT: usize = 1;
/// The margin in ticks: a clock misses so many in a search.
const MARGIN: u8 = 1;
/// How many leases are granted in the search, to both contenders.
pub(super) const GRANTS: u8 = 2;

/// A broken promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Breach {
    /// Two contenders believe that they hold the lock, and no key was deleted by hand.
    TwoHolders,
    /// The store accepted the write of an acquisition after that of a later one.
    WentBack,
    /// The store refused the write of the latest acquisition.
    HolderRefused,
    /// A renewal was accepted although the reading had not found the key.
    RenewedWithoutKey,
    /// A lost lock was held again without a new acquisition.
    LossUndone,
    /// A living contender does not get the lock, although all faults have ended.
    Stuck,
}

/// What a search includes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    /// How many faults happen: a death, a deletion by hand, a late or second message, an election.
    pub(super) faults: u8,
    /// How many messages are lost.
    pub(super) losses: u8,
    /// The last instant.
    pub(super) end: u8,
    /// Whether holders write to the store.
    pub(super) writes: bool,
    /// Whether each state is followed to the end of the contenders' work.
    pub(super) progress: bool,
}

/// What a contender is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    Idle,
    HasLease,
    Queued { token: i64 },
    Critical { token: i64, acquisition: u8 },
    Done,
    Dead,
}

/// A request under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pending {
    pub(super) request: Request,
    /// The own clock when it was sent.
    pub(super) sent: u8,
    /// The answer, and whether the own key stood when it was made.
    pub(super) answer: Option<(Answer, bool)>,
    /// The keep-alive before this reading: when it was sent, whether it found the lease, its term.
    pub(super) renewal: Option<(u8, bool, u8)>,
}

#[allow(clippy::struct_excessive_bools, reason = "four things that have happened or not")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Contender {
    pub(super) phase: Phase,
    pub(super) clock: u8,
    /// It has not missed a tick yet.
    pub(super) may_miss: bool,
    pub(super) lease: u8,
    pub(super) state: Option<LeaseState>,
    pub(super) pending: Option<Pending>,
    pub(super) has_written: bool,
    /// An administrator has deleted its key.
    pub(super) is_evicted: bool,
    /// It has seen its loss.
    pub(super) has_lost: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) flaw: Option<Flaw>,
    pub(super) server: Server,
    pub(super) store: Store,
    pub(super) contenders: [Contender; CONTENDERS],
    /// A request that its sender has given up, or a second copy of one.
    pub(super) stray: Option<(usize, Request)>,
    /// Writes under way: token and acquisition.
    pub(super) writes: Vec<(i64, u8)>,
    pub(super) acquisitions: u8,
    /// How many more faults may happen: a death, a deletion by hand, a late or second message, an
    /// election.
    pub(super) faults: u8,
    /// How many more messages may be lost.
    pub(super) losses: u8,
    /// The last instant of the search.
    pub(super) end: u8,
}

/// Returns an instant of the model for the product's code.
pub(super) fn instant(ticks: u8) -> BootInstant {
    BootInstant::from_nanos(u64::from(ticks))
}

impl World {
    pub(super) fn new(flaw: Option<Flaw>, scope: Scope) -> Self {
        let contender = Contender {
            phase: Phase::Idle,
            clock: 0,
            may_miss: true,
            lease: 0,
            state: None,
            pending: None,
            has_written: !scope.writes,
            is_evicted: false,
            has_lost: false,
        };
        Self {
            flaw,
            server: Server::default(),
            store: Store::default(),
            contenders: [contender.clone(), contender],
            stray: None,
            writes: Vec::new(),
            acquisitions: 0,
            faults: scope.faults,
            losses: scope.losses,
            end: scope.end,
        }
    }

    /// Returns the deadline of a request that was sent at `sent` and answered now.
    pub(super) fn deadline(&self, who: usize, sent: u8) -> BootInstant {
        let from = match self.flaw {
            Some(Flaw::DeadlineFromAnswer) => self.contenders[who].clock,
            _ => sent,
        };
        let margin = if self.flaw == Some(Flaw::NoMargin) { 0 } else { MARGIN };
        let [ttl, margin] = [TTL, margin].map(|ticks| Duration::from_nanos(u64::from(ticks)));
        own_deadline(instant(from), ttl, margin)
    }

    /// Returns `true` if the lease of this contender is lost by its own clock.
    pub(super) fn is_lost(&self, who: usize) -> bool {
        let contender = &self.contenders[who];
        if self.flaw == Some(Flaw::NoOwnDeadline) {
            return false;
        }
        contender.state.is_none_or(|mut state| state.loss(instant(contender.clock)).is_some())
    }

    /// Returns the promise that this state breaks.
    pub(super) fn check(&self) -> Result<(), Breach> {
        let believes = |who: usize| {
            matches!(self.contenders[who].phase, Phase::Critical { .. }) && !self.is_lost(who)
        };
        if believes(0) && believes(1) && !self.contenders.iter().any(|one| one.is_evicted) {
            return Err(Breach::TwoHolders);
        }
        if (0..CONTENDERS).any(|who| self.contenders[who].has_lost && believes(who)) {
            return Err(Breach::LossUndone);
        }
        Ok(())
    }
}
