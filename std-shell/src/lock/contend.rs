//! Acquires a lock whose acquisition is disturbed: held by another handle, nested, or with
//! bookkeeping.
//!
//! The code between the wake from a sleep and the critical section is inlined into
//! [`acquire_slow`](ShmLock::acquire_slow), here and in `wait`. Rare cases are separate functions.
//! After a sleep neither caches nor branch predictors are warm, so each call costs time while the
//! lock is free and unused. `ci/instructions.sh` checks this.

use std::result::Result as StdResult;
use std::time::{Duration, Instant};

use shmlock_core::Word;
use shmlock_core::contend::acquire_contended_inline;
use shmlock_core::protocol::{self, Acquisition, Attempt};

use crate::error::release::ReleaseError;
use crate::error::{Error, Result};
use crate::lock::guard::Guard;
use crate::lock::handle::ShmLock;
use crate::lock::hold_count::{AfterTransition, HoldKind, Reentry};
use crate::lock::recovery::ProofHere;
use crate::sys::clock::BootInstant;
use crate::sys::signal_mask::{BlockSignals, Blocked};
use crate::tell::tell;
use crate::wait::deadline::Deadline;
use crate::wait::waiter::{GaveUp, ProbeOnce, Terms, Waiter};

/// How an outermost acquire ends.
enum Outcome {
    Acquired(Acquired),
    /// One try was asked for, and another handle holds the lock. No error yet: an error allocates,
    /// and the caller may be a signal handler.
    Busy,
    /// In a box: an [`Error`] is large, and would make each outcome as large.
    Failed(Box<Error>),
}

/// An acquisition, and the time of it.
struct Acquired {
    acquisition: Acquisition,
    /// The lock was held by another handle at first.
    is_contended: bool,
    /// A clock reading of a moment ago, if there was one.
    since: Option<BootInstant>,
}

impl ShmLock {
    /// Acquires the lock for a guard.
    #[cold]
    pub(crate) fn lock_slow(&self, deadline: Deadline) -> Result<Guard<'_>> {
        self.acquire_or_refuse(deadline, HoldKind::Guarded).map(|()| self.new_guard())
    }

    /// Acquires the lock. One try that fails is an error.
    #[cold]
    pub(crate) fn acquire_or_refuse(&self, deadline: Deadline, kind: HoldKind) -> Result<()> {
        if self.acquire_slow(deadline, kind)? {
            return Ok(());
        }
        Err(Error::TimedOut {
            name: self.name.to_string(),
            waited: Duration::ZERO,
            holder: self.holder_now(),
        })
    }

    /// Acquires the lock, or counts one more hold of it, for a guard or without. Returns `false` if
    /// one try was asked for and another handle holds the lock.
    #[cold]
    pub(crate) fn acquire_slow(&self, deadline: Deadline, kind: HoldKind) -> Result<bool> {
        self.check_process()?;
        let is_silent = self.no_bookkeeping && log::max_level() < log::LevelFilter::Debug;
        if !is_silent {
            self.close_fast_path(); // until the logger wants no such events
            if self.holds.is_none() {
                // Before the holds are counted: a logger may change them.
                self.tell_of_wait(deadline)?;
            }
        }
        match self.holds.nest(kind) {
            Reentry::None => {}
            Reentry::Nested => return self.confirm_nested(),
            Reentry::InTransition => return self.refuse_in_transition(deadline),
            Reentry::NestingTooDeep => {
                return Err(Error::NestingTooDeep { name: self.name.to_string() });
            }
        }
        self.holds.begin_transition();
        match self.acquire_outermost(deadline) {
            Outcome::Acquired(Acquired { acquisition, .. })
                if is_silent && !acquisition.owner_died =>
            {
                self.holds.end_transition(AfterTransition::Plain(kind));
                Ok(true)
            }
            Outcome::Busy if is_silent => {
                self.holds.end_transition(AfterTransition::NotHeld);
                Ok(false)
            }
            outcome => self.end_and_tell(outcome, kind),
        }
    }

    /// Confirms by the owner word the hold that was just nested. If the word names another owner,
    /// the holds are void.
    fn confirm_nested(&self) -> Result<bool> {
        match self.other_owner() {
            None => Ok(true),
            Some(found) => Err(self.error_of(self.void(found))),
        }
    }

    /// Refuses a signal handler that interrupts an acquire or a release of this handle.
    #[cold]
    fn refuse_in_transition(&self, deadline: Deadline) -> Result<bool> {
        match deadline {
            Deadline::None => Ok(false),
            _ => Err(Error::WouldDeadlock { name: self.name.to_string() }),
        }
    }

    /// Ends an acquire that is to be logged, or whose hold has bookkeeping.
    #[cold]
    fn end_and_tell(&self, outcome: Outcome, kind: HoldKind) -> Result<bool> {
        self.holds.end_transition(match outcome {
            Outcome::Acquired(_) => AfterTransition::Counted(kind),
            Outcome::Busy | Outcome::Failed(_) => AfterTransition::NotHeld,
        });
        // Logged after the transition: a logger is foreign code. Afterwards the process may be a
        // child that it forked.
        match outcome {
            Outcome::Acquired(acquired) => self.tell_acquired(acquired.acquisition),
            Outcome::Busy => {
                tell!(Debug, "tried {self}: another holds it, and one try was asked for");
                self.check_process().map(|()| false)
            }
            Outcome::Failed(error) => {
                tell!(Debug, "tried {self}: {error}");
                Err(*error)
            }
        }
    }

    /// Logs an acquisition.
    ///
    /// # Errors
    /// The logger has forked, and this is the child; or it has released the lock by force.
    #[cold]
    fn tell_acquired(&self, acquisition: Acquisition) -> Result<bool> {
        if log::max_level() == log::LevelFilter::Off {
            return Ok(true);
        }
        let epoch = self.holds.epoch();
        tell!(Debug, "acquired {self}");
        if acquisition.owner_died {
            self.report_death();
        }
        self.check_hold().map_err(|loss| self.error_of(loss))?;
        if self.holds.epoch() == epoch {
            Ok(true)
        } else {
            Err(self.error_of(ReleaseError::NotHeld))
        }
    }

    fn acquire_outermost(&self, deadline: Deadline) -> Outcome {
        let deadline = if self.fairness.owes_head_start() {
            match self.yield_head_start(deadline) {
                Ok(deadline) => deadline,
                Err(error) => return Outcome::Failed(Box::new(error)),
            }
        } else {
            deadline
        };
        let blocked = (self.settings.block_signals != BlockSignals::Never).then(Blocked::now);
        self.note_thread();
        let word = self.shared.region().owner_word();
        let tried = protocol::try_acquire(word, self.token, Attempt::First, self.settings.fence);
        let outcome = match tried {
            Ok(acquisition) => {
                Outcome::Acquired(Acquired { acquisition, is_contended: false, since: None })
            }
            Err(_) => self.contend(deadline, blocked.as_ref()),
        };
        if let Outcome::Acquired(acquired) = &outcome {
            if self.is_poisoned(acquired.acquisition) {
                return Outcome::Failed(Box::new(self.refuse_poisoned(acquired.acquisition)));
            }
            self.begin_hold(acquired);
            if self.settings.block_signals == BlockSignals::WhileHeld {
                self.blocked.replace(blocked);
            }
        }
        outcome
    }

    /// Leaves the lock to a woken waiter for a moment. Returns the deadline, which
    /// counts that moment.
    #[cold]
    fn yield_head_start(&self, deadline: Deadline) -> Result<Deadline> {
        let deadline = deadline.beginning(Instant::now());
        let word = self.shared.region().owner_word();
        self.fairness.yield_head_start(word, deadline, || self.shared.is_ours());
        self.fast_path.set(self.no_bookkeeping);
        self.check_process()?; // a signal handler may have forked meanwhile
        Ok(deadline)
    }

    /// Probes the owner and tries again: one try recovers a dead owner's lock as well.
    #[cold]
    fn try_after_probe(&self) -> Outcome {
        let word = self.shared.region().owner_word();
        let won = acquire_contended_inline(
            word,
            self.token,
            self.settings.fence,
            &mut ProofHere::new(&self.shared),
            &mut ProbeOnce::default(),
        );
        match won {
            // Found free: no owner was waited for.
            Ok(acquisition) if acquisition.recovered_from.is_none() => {
                Outcome::Acquired(Acquired { acquisition, is_contended: false, since: None })
            }
            Ok(acquisition) => self.end_wait(acquisition, None),
            Err(_) => Outcome::Busy,
        }
    }

    /// Waits for the lock.
    #[inline]
    fn contend(&self, deadline: Deadline, blocked: Option<&Blocked>) -> Outcome {
        // The clock of deadlines stands still while the machine is suspended, and so do timeouts
        // and the time that an error says was waited.
        let start = deadline.has_end().then(Instant::now);
        let deadline = start.map_or(deadline, |start| deadline.beginning(start));
        if deadline.is_one_try() {
            return self.try_after_probe();
        }
        let now = BootInstant::now();
        self.fairness.note_arrival(now);
        self.pace.note_arrival(now, self.shared.region().fencing_token());
        let terms = Terms {
            shared: &self.shared,
            me: self.token,
            deadline,
            interval: self.settings.poll_interval,
            strategy: self.settings.strategy,
            event: self.settings.exit_event.as_ref(),
            interrupt: self.settings.interrupt.as_ref(),
            blocked,
            fairness: &self.fairness,
            pace: &self.pace,
        };
        let mut waiter = Waiter::new(terms, now);
        let word = self.shared.region().owner_word();
        let won = acquire_contended_inline(
            word,
            self.token,
            self.settings.fence,
            &mut ProofHere::new(&self.shared),
            &mut waiter,
        );
        match won {
            Ok(acquisition) => self.end_wait(acquisition, Some(waiter.now())),
            Err(seen) => Outcome::Failed(Box::new(self.give_up(seen, waiter.reason(), start))),
        }
    }

    /// Ends a wait with the lock, which was released or recovered.
    #[inline]
    fn end_wait(&self, acquisition: Acquisition, since: Option<BootInstant>) -> Outcome {
        if acquisition.recovered_from.is_some() {
            if let Err(error) = self.refuse_if_orphaned() {
                return Outcome::Failed(error);
            }
        }
        Outcome::Acquired(Acquired { acquisition, is_contended: true, since })
    }

    /// Releases a lock that was just recovered, and returns an error, if its file has no name.
    /// Returns an error in a forked child as well.
    #[cold]
    fn refuse_if_orphaned(&self) -> StdResult<(), Box<Error>> {
        let is_orphaned = self.shared.is_orphaned();
        self.check_process()?; // a signal handler may have forked in that system call
        if is_orphaned { Err(Box::new(self.abandon_orphan())) } else { Ok(()) }
    }

    /// Ends a wait without the lock; `seen` is the word when it ended. Returns the error.
    #[cold]
    fn give_up(&self, seen: Word, reason: GaveUp<'_>, start: Option<Instant>) -> Error {
        if seen.is_free() {
            // Our wake may have been meant for another waiter.
            self.wake_one(self.shared.region().owner_word());
        }
        self.wait_error(reason, start)
    }

    /// Returns the error of a wait that began at `start` and ended without the lock.
    #[cold]
    fn wait_error(&self, reason: GaveUp<'_>, start: Option<Instant>) -> Error {
        let name = self.name.to_string();
        match reason {
            GaveUp::TimedOut => Error::TimedOut {
                name,
                waited: start.map_or(Duration::ZERO, |start| start.elapsed()),
                holder: self.holder_now(),
            },
            GaveUp::Cancelled => Error::Cancelled { name, holder: self.holder_now() },
            GaveUp::Interrupted => Error::Interrupted { name, holder: self.holder_now() },
            GaveUp::WouldDeadlock => Error::WouldDeadlock { name },
            GaveUp::Orphaned => self.orphaned(),
            GaveUp::ForkedEvent(event) => Error::ForkedHandle { name: event.to_string() },
            GaveUp::Forked => self.error_of(self.forked()),
        }
    }

    /// Begins a hold: notes a death, counts the acquisition, and writes the owner record.
    #[inline]
    fn begin_hold(&self, acquired: &Acquired) {
        let region = self.shared.region();
        if acquired.acquisition.owner_died {
            self.note_death(region, acquired.acquisition.recovered_from);
        }
        if acquired.is_contended {
            region.count_contended();
        }
        region.count_acquisition(self.settings.fence);
        if !(self.recorded.get() && region.record_describes(self.token)) {
            self.write_record(region, acquired.since);
        }
        self.start_hold_time();
        self.panic_watch.note_begin();
    }
}
