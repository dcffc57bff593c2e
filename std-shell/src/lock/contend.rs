//! Acquires: what one handle does around the core's steps. Releasing is in `release.rs`. How often
//! it holds the lock, and what a signal handler may see of that, is in `holds.rs`.

use std::time::{Duration, Instant};

use shmlock_core::contend::{Liveness, acquire_contended_inline};
use shmlock_core::protocol::{self, Acquisition, Attempt, Wake};
use shmlock_core::{Region, Token, Word};

use crate::error::release::ReleaseError;
use crate::error::{Error, Result};
use crate::holder::Holder;
use crate::holder::Recovered;
use crate::lock::guard::Guard;
use crate::lock::handle::ShmLock;
use crate::lock::hold_count::{HoldKind, Reentry};
use crate::shm::attach::Attachment;
use crate::shm::death_proof::KernelProof;
use crate::sys::clock::BootInstant;
use crate::sys::futex;
use crate::sys::signal_mask::{BlockSignals, Blocked};
use crate::sys::thread::{number_as_known, this_thread_by_number};
use crate::tell::tell;
use crate::wait::deadline::Deadline;
use crate::wait::{self, GaveUp, ProbeSchedule, Waiter};

/// Taking.
impl ShmLock {
    #[inline]
    pub(crate) fn lock_with(&self, patience: Deadline) -> Result<Guard<'_>> {
        if self.take_undisturbed(HoldKind::Guarded) {
            return Ok(Guard::new(self, self.holds.epoch()));
        }
        self.guarded_otherwise(patience)
    }

    #[cold]
    fn guarded_otherwise(&self, patience: Deadline) -> Result<Guard<'_>> {
        if self.take(patience, HoldKind::Guarded)? {
            Ok(self.new_guard())
        } else {
            Err(self.would_block())
        }
    }

    /// As [`lock_with`](Self::guarded), without a guard.
    #[inline]
    pub(crate) fn bare(&self, patience: Deadline) -> Result<()> {
        if self.take_undisturbed(HoldKind::Unguarded) {
            return Ok(());
        }
        self.bare_otherwise(patience)
    }

    #[cold]
    fn bare_otherwise(&self, patience: Deadline) -> Result<()> {
        if self.take(patience, HoldKind::Unguarded)? { Ok(()) } else { Err(self.would_block()) }
    }

    /// The guard of what [`take`](Self::take) has just taken for one.
    pub(crate) fn new_guard(&self) -> Guard<'_> {
        Guard::new(self, self.holds.epoch())
    }

    #[cold]
    fn would_block(&self) -> Error {
        Error::WouldBlock { name: self.name.to_string(), holder: self.holder_now() }
    }

    /// All of an outermost acquire when nothing is out of the ordinary; `false`, and nothing done,
    /// otherwise.
    ///
    /// It does what [`take`](Self::take) does, without passing a large `Result` through memory at
    /// three levels of calls, which takes longer than the protocol itself.
    #[inline]
    fn take_undisturbed(&self, kind: HoldKind) -> bool {
        let ordinary = self.holds.is_none()
            && self.recorded.get()
            && self.fast_path.get()
            && self.shared.is_ours()
            && log::max_level() < log::LevelFilter::Debug;
        if !ordinary {
            return false;
        }
        let region = self.shared.region();
        let take = || {
            self.note_thread();
            let taken =
                protocol::try_acquire_fast(region.owner_word(), self.token, self.settings.fence);
            if taken {
                region.count_acquisition(self.settings.fence);
                if !region.record_describes(self.token) {
                    self.write_new_record(region);
                }
            }
            taken
        };
        self.holds.in_transition(take, |taken| taken.then_some(kind))
    }

    /// Has the exit handlers know on which thread this handle is used.
    #[inline]
    fn note_thread(&self) {
        if self.thread.get() != number_as_known() {
            self.note_another_thread();
        }
    }

    #[cold]
    fn note_another_thread(&self) {
        let thread = this_thread_by_number();
        self.slot.slot().used_by(thread);
        self.thread.set(thread.number);
    }

    /// Takes the lock once more, for a guard or without; `false` if one try was asked for and
    /// somebody else holds it.
    ///
    /// What is called from here down to the system call of a sleep is compiled into it (so the
    /// `#[inline]`s, also in `wait`), and what is seldom needed is not: who has been woken finds
    /// the code in no cache, and predicts no return. In nine functions, and with the fields of the
    /// handle in any order, the way from the kernel to the section took 0.7 to 2.7 µs longer.
    #[cold]
    pub(crate) fn take(&self, patience: Deadline, kind: HoldKind) -> Result<bool> {
        self.check_process()?;
        let silent = self.no_bookkeeping && log::max_level() < log::LevelFilter::Debug;
        if !silent && self.holds.is_none() {
            self.tell_of_wait(patience)?; // before the holds are looked at: a logger may change them
        }
        match self.holds.nest(kind) {
            Reentry::None => {}
            Reentry::Nested => return self.confirm_nested(),
            Reentry::InTransition => return self.refuse_in_transition(patience),
            Reentry::NestingTooDeep => {
                return Err(Error::NestingTooDeep { name: self.name.to_string() });
            }
        }
        self.holds.begin_transition();
        match self.take_outermost(patience) {
            Ok(Some(acquisition)) if silent && !acquisition.owner_died => {
                self.holds.end_transition(Some(kind));
                Ok(true)
            }
            Ok(None) if silent => {
                self.holds.end_transition(None);
                Ok(false)
            }
            taken => self.end_take(taken, kind),
        }
    }

    /// Confirms by the owner word the hold that was just entered once more. If the word names
    /// another owner, the holds are void.
    fn confirm_nested(&self) -> Result<bool> {
        match self.usurped() {
            None => Ok(true),
            Some(found) => Err(self.error_of(self.void(found))),
        }
    }

    /// Ends a taking of which there is something to tell, or after which signals may have to be let
    /// through again.
    #[cold]
    fn end_take(&self, taken: Result<Option<Acquisition>>, kind: HoldKind) -> Result<bool> {
        self.holds.end_transition(matches!(taken, Ok(Some(_))).then_some(kind));
        self.holds.be_counted();
        let epoch = self.holds.epoch();
        // Reported only now, when the hold is counted as what it is: a logger is foreign code.
        let acquisition = match taken {
            Ok(Some(acquisition)) => acquisition,
            Ok(None) => {
                tell!(Debug, "tried {self}: another holds it, and one try was asked for");
                // It may have forked, and this be the child.
                return self.check_process().map(|()| false);
            }
            Err(error) => {
                tell!(Debug, "tried {self}: {error}");
                return Err(error);
            }
        };
        if log::max_level() == log::LevelFilter::Off {
            return Ok(true);
        }
        self.tell_of(acquisition);
        // The logger may have forked, and this be the child; or have released by force what it was
        // told of.
        self.check_hold().map_err(|loss| self.error_of(loss))?;
        if self.holds.epoch() == epoch {
            Ok(true)
        } else {
            Err(self.error_of(ReleaseError::NotHeld))
        }
    }

    #[cold]
    fn tell_of(&self, acquisition: Acquisition) {
        tell!(Debug, "acquired {self}");
        if acquisition.owner_died {
            self.report_death();
        }
    }

    #[cold]
    fn refuse_in_transition(&self, patience: Deadline) -> Result<bool> {
        match patience {
            Deadline::None => Ok(false),
            _ => Err(Error::WouldDeadlock { name: self.name.to_string() }),
        }
    }

    fn take_outermost(&self, patience: Deadline) -> Result<Option<Acquisition>> {
        let patience =
            if self.fairness.is_passing() { self.yield_to_woken(patience)? } else { patience };
        let blocked = (self.settings.block_signals != BlockSignals::Never).then(Blocked::now);
        self.note_thread();
        let word = self.shared.region().owner_word();
        let tried =
            protocol::try_acquire(word, self.token, Attempt::First, self.settings.fence).ok();
        let taken = match tried
            .or_else(|| if patience.is_one_try() { None } else { self.spin_briefly() })
        {
            Some(acquisition) => Some((acquisition, None)),
            None => self.contend(patience, blocked.as_ref())?,
        };
        let Some((acquisition, since)) = taken else { return Ok(None) };
        self.begin(acquisition, since);
        self.hold_begins();
        if self.settings.block_signals == BlockSignals::WhileHeld {
            self.blocked.replace(blocked);
        }
        Ok(Some(acquisition))
    }

    /// Leaves the lock to the one that we have woken, for a moment; what is left of the patience.
    #[cold]
    fn yield_to_woken(&self, patience: Deadline) -> Result<Deadline> {
        let patience = patience.beginning(Instant::now());
        self.fairness
            .yield_to_woken(self.shared.region().owner_word(), patience, || self.shared.is_ours());
        self.fast_path.set(self.no_bookkeeping);
        self.check_process()?; // a signal handler may have forked meanwhile
        Ok(patience)
    }

    /// Takes a lock that is free again before a clock could be read.
    #[cold]
    fn spin_briefly(&self) -> Option<Acquisition> {
        let region = self.shared.region();
        if !wait::is_soon_free(region) {
            return None;
        }
        let acquisition = protocol::try_acquire(
            region.owner_word(),
            self.token,
            Attempt::First,
            self.settings.fence,
        )
        .ok()?;
        region.count_contended();
        Some(acquisition)
    }

    /// Waits for the lock; also answers when that ended. `None`: one try was asked for, and it
    /// failed.
    #[inline]
    fn contend(
        &self,
        patience: Deadline,
        blocked: Option<&Blocked>,
    ) -> Result<Option<(Acquisition, Option<BootInstant>)>> {
        // The clock of deadlines stands still while the machine is suspended, and so do time limits
        // and what is said of them.
        let start = patience.has_end().then(Instant::now);
        let patience = start.map_or(patience, |start| patience.beginning(start));
        let now = BootInstant::now();
        self.fairness.arrive(now, self.shared.region().fencing_token());
        let mut waiter = Waiter {
            shared: &self.shared,
            me: self.token,
            patience,
            interval: self.settings.poll_interval,
            watch: ProbeSchedule::new(
                self.shared.region(),
                self.shared.probe(),
                self.shared.birth(),
                now,
            ),
            strategy: self.settings.strategy,
            event: self.settings.exit_event.as_ref(),
            blocked,
            fairness: &self.fairness,
            probed: false,
            asked: now,
            awake: true,
            now,
            has_slept: false,
            has_rested: false,
            gave_up: None,
        };
        let mut proof =
            ProofOfOurs { shared: &self.shared, proof: KernelProof { shared: &self.shared } };
        let word = self.shared.region().owner_word();
        let won = acquire_contended_inline(
            word,
            self.token,
            self.settings.fence,
            &mut proof,
            &mut waiter,
        );
        if let Ok(acquisition) = won {
            if waiter.has_slept {
                self.fairness.begin(waiter.now);
            }
            if acquisition.recovered_from.is_some() && self.shared.is_orphaned() {
                return Err(self.hand_back_orphan());
            }
            // One try that got it at its second look has not waited for anybody.
            if acquisition.recovered_from.is_some() || !patience.is_one_try() {
                self.shared.region().count_contended();
            }
            return Ok(Some((acquisition, Some(waiter.now))));
        }
        if won.is_err_and(Word::is_free) {
            futex::wake_one(word); // the wake that we used up may have been meant for others
        }
        if patience.is_one_try() && matches!(waiter.gave_up, Some(GaveUp::TimedOut) | None) {
            return Ok(None); // before anything is allocated: a signal handler may have called
        }
        Err(self.gave_up(waiter.gave_up, start))
    }

    /// Why a wait that began then has ended without the lock.
    #[cold]
    fn gave_up(&self, reason: Option<GaveUp<'_>>, start: Option<Instant>) -> Error {
        let name = self.name.to_string();
        match reason {
            Some(GaveUp::TimedOut) | None => Error::TimedOut {
                name,
                waited: start.map_or(Duration::ZERO, |start| start.elapsed()),
                holder: self.holder_now(),
            },
            Some(GaveUp::Cancelled) => Error::Cancelled { name, holder: self.holder_now() },
            Some(GaveUp::WouldDeadlock) => Error::WouldDeadlock { name },
            Some(GaveUp::Orphaned) => self.orphaned(),
            Some(GaveUp::ForkedEvent(event)) => Error::ForkedHandle { name: event.to_string() },
            Some(GaveUp::Forked) => self.error_of(self.forked()),
        }
    }

    /// Ends a take-over on a file that has lost its name: a new lock of that name may be held by
    /// somebody else.
    #[cold]
    fn hand_back_orphan(&self) -> Error {
        let word = self.shared.region().owner_word();
        if let Ok(Wake::One) = protocol::abandon(word, self.token, self.settings.fence) {
            futex::wake_one(word);
        }
        self.orphaned()
    }

    /// What a new holder does before its section begins; since when that is, if a clock was read a
    /// moment ago.
    fn begin(&self, acquisition: Acquisition, since: Option<BootInstant>) {
        let region = self.shared.region();
        if acquisition.owner_died {
            self.note_death(region, acquisition.recovered_from);
        }
        region.count_acquisition(self.settings.fence);
        if !(self.recorded.get() && region.record_describes(self.token)) {
            self.write_record(region, since);
        }
    }

    #[cold]
    fn note_death(&self, region: Region<'_>, recovered_from: Option<Token>) {
        let dead = recovered_from.map(|token| Holder::former(region, token, self.settings.fence));
        if dead.is_some() {
            region.count_recovery();
        }
        self.recovered.replace(Some(Recovered { dead }));
    }

    #[cold]
    fn report_death(&self) {
        match self.recovered().and_then(|recovered| recovered.dead) {
            Some(dead) => tell!(Warn, "{self}: taken over from a dead owner, {dead}"),
            None => tell!(
                Warn,
                "{self}: an earlier owner died, and nobody has declared the data consistent"
            ),
        }
    }
}

/// Proof of a death, for the process whose region it is: asking takes system calls, and a signal
/// handler may fork meanwhile.
struct ProofOfOurs<'a> {
    shared: &'a Attachment,
    proof: KernelProof<'a>,
}

impl Liveness for ProofOfOurs<'_> {
    fn while_dead<R>(&mut self, owner: Token, act: impl FnOnce() -> R) -> Option<R> {
        let shared = self.shared;
        self.proof.while_dead(owner, || shared.is_ours().then(act)).flatten()
    }
}
