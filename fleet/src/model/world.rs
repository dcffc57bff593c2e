//! Defines one state of the model.
//!
//! A state holds durations, left or passed, and no instants. So a run without an end has few
//! states. [`canonical`](super::canonical) lists further differences that do not count.

use super::flaw::Flaw;
use super::scope::{Breach, Scope};
use super::server::{Answer, Server, Store, Watch};
use crate::clock::BootInstant;
use crate::lease_state::LeaseState;
use crate::loss::Loss;
use crate::protocol::own_deadline;

/// The most contenders.
pub(super) const CONTENDERS: usize = 3;
/// The most writes under way.
pub(super) const WRITES: usize = 2;

/// The reading of a contender's own clock that the product's code gets, in every state. That code
/// only adds and compares instants, so the reading itself does not matter.
const NOW: BootInstant = BootInstant::from_nanos(BEGIN);
const BEGIN: u64 = 10_000;

/// What a contender is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Phase {
    /// No process of this machine wants the lock.
    Rest,
    /// It asks for a lease.
    Join,
    HasLease,
    Queued,
    Critical,
}

/// What the keeper waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Keep {
    None,
    /// A keep-alive, sent `age` units ago, was answered. It is stale if a leader was elected after
    /// the term in its header.
    Kept {
        age: u16,
        is_alive: bool,
        is_stale: bool,
    },
    /// The reading after it was answered. `own` is the create revision of the own name's key, 0 for
    /// none; `stands` says whether that is the own key.
    Read {
        age: u16,
        is_alive: bool,
        is_stale: bool,
        own: u8,
        stands: bool,
    },
    /// The reading of [`Flaw::ReadingFirst`].
    ReadFirst {
        own: u8,
        stands: bool,
        is_stale: bool,
    },
}

/// A process of one machine. The processes of a machine contend one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Contender {
    pub(super) phase: Phase,
    /// It tries once: its key is put only if there is none, and then its place is the first.
    pub(super) tries: bool,
    pub(super) lease: u8,
    pub(super) token: u8,
    /// The number of its acquisition, for the store's judge.
    pub(super) acquisition: u8,
    /// The units until the own deadline, negative after it.
    pub(super) left: i16,
    /// The lease was found to be lost.
    pub(super) is_found_lost: bool,
    pub(super) answer: Answer,
    pub(super) watch: Watch,
    pub(super) keep: Keep,
    /// An administrator has deleted its key.
    pub(super) is_evicted: bool,
    /// The machine, for [`Flaw::NameWithoutLease`] only.
    pub(super) machine: u8,
}

impl Contender {
    pub(super) const fn at_rest(machine: u8) -> Self {
        Self {
            phase: Phase::Rest,
            tries: false,
            lease: 0,
            token: 0,
            acquisition: 0,
            left: 0,
            is_found_lost: true,
            answer: Answer::None,
            watch: Watch::NONE,
            keep: Keep::None,
            is_evicted: false,
            machine,
        }
    }

    /// Returns the loss, as the product's code finds it now.
    pub(super) fn loss(&self) -> Option<Loss> {
        self.state().loss(NOW)
    }

    pub(super) fn is_lost(&self) -> bool {
        self.loss().is_some()
    }

    /// Returns `true` if it takes itself for the holder.
    pub(super) fn believes(&self) -> bool {
        self.phase == Phase::Critical && !self.is_lost()
    }

    /// Runs the product's code on what this contender knows of its lease.
    pub(super) fn with_state(&mut self, act: impl FnOnce(&mut LeaseState, BootInstant)) {
        let mut state = self.state();
        act(&mut state, NOW);
        let units = |from: BootInstant, to| i16::try_from(from.until(to).as_nanos());
        let [left, past] = [units(NOW, state.deadline()), units(state.deadline(), NOW)];
        self.left = left.expect("a short time") - past.expect("a short time");
        self.is_found_lost = state.found_loss().is_some();
    }

    fn state(&self) -> LeaseState {
        let deadline = BEGIN.checked_add_signed(self.left.into()).expect("a short time");
        // The reason of a loss decides nothing.
        let loss = self.is_found_lost.then_some(Loss::Expired);
        LeaseState::from_parts(BootInstant::from_nanos(deadline), loss)
    }
}

/// A request that its sender has given up, or a second copy of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Stray {
    None,
    Put { lease: u8, name: u8, tries: bool },
    KeepAlive { lease: u8 },
    Release { lease: u8, name: u8, token: u8 },
}

/// One state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct World {
    pub(super) server: Server,
    pub(super) contenders: [Contender; CONTENDERS],
    pub(super) stray: Stray,
    /// The greatest token of an acquisition.
    pub(super) greatest: u8,
    pub(super) store: Store,
    /// Writes under way: token and acquisition.
    pub(super) writes: [(u8, u8); WRITES],
    /// The number of acquisitions, for the store's judge.
    pub(super) acquisitions: u8,
}

impl World {
    pub(super) fn new(scope: &Scope) -> Self {
        let machine = |index: u8| if scope.has(Flaw::NameWithoutLease) { 200 + index } else { 0 };
        Self {
            server: Server::new(),
            contenders: [0_u8, 1, 2].map(|index| Contender::at_rest(machine(index))),
            stray: Stray::None,
            greatest: 0,
            store: Store::default(),
            writes: [(0, 0); WRITES],
            acquisitions: 0,
        }
    }

    /// Returns the promise that this state breaks.
    pub(super) fn check(&self, scope: &Scope) -> Result<(), Breach> {
        let counts = |one: &&Contender| !one.is_evicted || scope.has(Flaw::EarlyEnd);
        let holders = self.contenders.iter().filter(|one| one.believes()).filter(counts);
        if scope.exclusion && holders.count() > 1 {
            return Err(Breach::TwoHolders);
        }
        for one in &self.contenders {
            let waits = one.phase == Phase::Queued && one.answer == Answer::None;
            if !waits || one.is_lost() || one.watch.silent > 0 {
                continue;
            }
            let own = self.server.key_created_at(one.token);
            let stands = own.is_some() && !self.server.is_first(one.token);
            if !one.watch.is_told && !stands {
                return Err(Breach::Overslept);
            }
        }
        (0..CONTENDERS).try_for_each(|index| self.check_late_answers(index, scope))
    }

    /// Checks that no answer under way makes a holder of a contender that has lost its lease.
    ///
    /// [`canonical`](super::canonical) then forgets these answers. Of all instants at which they
    /// may arrive, this one is the most favourable for the sender.
    fn check_late_answers(&self, index: usize, scope: &Scope) -> Result<(), Breach> {
        let one = &self.contenders[index];
        if one.lease == 0 || !one.is_lost() {
            return Ok(());
        }
        let mut late = *self;
        if let Keep::Kept { .. } = one.keep {
            late.read_own(index);
        }
        late.receive_renewal(index, scope)?;
        late.receive_place(index, scope)
    }
}

/// Returns the units until the deadline of a lease whose request was sent `age` units ago.
pub(super) fn deadline(scope: &Scope, age: u16) -> BootInstant {
    let age = if scope.has(Flaw::DeadlineFromAnswer) { 0 } else { age };
    own_deadline(BootInstant::from_nanos(BEGIN - u64::from(age)), scope.ttl(), scope.margin())
}

/// Returns `true` if an answer to a request of this age cannot move a deadline any more.
pub(super) fn is_too_old(scope: &Scope, age: u16) -> bool {
    LeaseState::new(deadline(scope, age)).loss(NOW).is_some()
}
