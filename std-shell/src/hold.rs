//! Taking and giving back: what one handle does around the core's steps.
//!
//! ```text
//!            take                    begin
//! holds 0 ---------> IN_TRANSITION ---------> 1 ---> 2 ---> …   the same handle again: only the count
//!    ^                     |                  |
//!    +---------------------+ <----------------+ give back
//! ```
//!
//! A signal handler may run at any instruction and call into the handle that the interrupted code is using. It sees
//! `IN_TRANSITION` whenever the owner word and the count may disagree, and then neither takes nor gives anything:
//! otherwise it would find its own token in the word while the count is 0, which is the mark of a corrupt word, and
//! take the lock over from the very code it interrupted.

use std::sync::atomic::{Ordering, compiler_fence};
use std::time::Instant;

use shmlock_core::contend::acquire_contended;
use shmlock_core::protocol::{self, Acquisition, Arrival, Wake};
use shmlock_core::{FenceScope, Record, Region, Token, Word};

use crate::deadline::Patience;
use crate::error::{Error, Result};
use crate::guard::{Guard, Recovered};
use crate::inspect::{Holder, boot_seconds, pid_namespace};
use crate::liveness::KernelProof;
use crate::lock::ShmLock;
use crate::signals::{BlockSignals, Blocked};
use crate::thread::{this_thread, this_thread_of};
use crate::wait::{GaveUp, Waiter, futex};

/// The handle is inside a call that moves the owner word. Only a signal handler can see it.
pub(crate) const IN_TRANSITION: u32 = u32::MAX;

/// Taking.
impl ShmLock {
    #[inline]
    pub(crate) fn guarded(&self, patience: Patience) -> Result<Guard<'_>> {
        if !self.take_undisturbed() {
            self.take_or_fail(patience)?;
        }
        Ok(self.new_guard())
    }

    #[inline]
    pub(crate) fn new_guard(&self) -> Guard<'_> {
        self.guards.set(self.guards.get() + 1);
        Guard::new(self, self.hold.get())
    }

    pub(crate) fn take_or_fail(&self, patience: Patience) -> Result<()> {
        if self.take(patience)? {
            return Ok(());
        }
        Err(Error::WouldBlock { name: self.name.to_string(), holder: self.holder_now() })
    }

    /// All of an outermost acquire when nothing is out of the ordinary; `false`, and nothing done, otherwise.
    ///
    /// It does what [`take`](Self::take) does, without passing a large `Result` through memory at three levels of calls,
    /// which takes longer than the protocol itself.
    #[inline]
    fn take_undisturbed(&self) -> bool {
        let ordinary = self.shared.is_ours()
            && self.holds.get() == 0
            && self.recorded.get()
            && self.settings.block_signals == BlockSignals::Never
            && log::max_level() < log::LevelFilter::Debug;
        if !ordinary {
            return false;
        }
        let region = self.shared.region();
        self.holds.set(IN_TRANSITION);
        compiler_fence(Ordering::SeqCst); // as in `in_transition`, whose closures would not be inlined here
        self.slot.used_by(this_thread_of(self.shared.birth().generation()));
        let taken = protocol::try_acquire(region.owner_word(), self.token, Arrival::Fresh, self.settings.fence);
        if let Ok(acquisition) = taken {
            self.begin(acquisition);
        }
        compiler_fence(Ordering::SeqCst);
        self.holds.set(u32::from(taken.is_ok()));
        if taken.is_ok_and(|acquisition| acquisition.owner_died) {
            self.report_death();
        }
        taken.is_ok()
    }

    /// Takes the lock once more; `false` if one try was asked for and somebody else holds it.
    #[inline]
    pub(crate) fn take(&self, patience: Patience) -> Result<bool> {
        self.check_process()?;
        match self.holds.get() {
            0 => {}
            IN_TRANSITION => return self.refuse_in_transition(patience),
            holds if holds == IN_TRANSITION - 1 => return Err(Error::TooDeep { name: self.name.to_string() }),
            holds => {
                self.holds.set(holds + 1);
                return Ok(true);
            }
        }
        let taken =
            self.in_transition(|| self.take_outermost(patience), |taken| u32::from(matches!(taken, Ok(Some(_)))))?;
        // Reported only now: a logger is foreign code, which may panic or use this very lock.
        if let Some(acquisition) = taken {
            log::debug!("acquired {self}");
            if acquisition.owner_died {
                self.report_death();
            }
        }
        Ok(taken.is_some())
    }

    /// Runs `act` with the count saying so to signal handlers, then sets the count to what the result means.
    #[allow(clippy::inline_always, reason = "its closures are the fast path; a call would pass them through memory")]
    #[inline(always)]
    fn in_transition<R>(&self, act: impl FnOnce() -> R, holds_after: impl FnOnce(&R) -> u32) -> R {
        self.holds.set(IN_TRANSITION);
        compiler_fence(Ordering::SeqCst); // a handler on this thread sees the count change before the word does
        let result = act();
        compiler_fence(Ordering::SeqCst); // and after it
        self.holds.set(holds_after(&result));
        result
    }

    #[cold]
    fn refuse_in_transition(&self, patience: Patience) -> Result<bool> {
        match patience {
            Patience::None => Ok(false),
            _ => Err(Error::WouldDeadlock { name: self.name.to_string() }),
        }
    }

    #[inline]
    fn take_outermost(&self, patience: Patience) -> Result<Option<Acquisition>> {
        let blocked = (self.settings.block_signals != BlockSignals::Never).then(Blocked::now);
        self.slot.used_by(this_thread());
        let word = self.shared.region().owner_word();
        let acquisition = match protocol::try_acquire(word, self.token, Arrival::Fresh, self.settings.fence) {
            Ok(acquisition) => acquisition,
            Err(_) => match self.contend(patience, blocked.as_ref())? {
                Some(acquisition) => acquisition,
                None => return Ok(None),
            },
        };
        self.begin(acquisition);
        if self.settings.block_signals == BlockSignals::WhileHeld {
            self.blocked.replace(blocked);
        }
        Ok(Some(acquisition))
    }

    /// Waits for the lock. `None`: one try was asked for, and it failed.
    #[cold]
    fn contend(&self, patience: Patience, blocked: Option<&Blocked>) -> Result<Option<Acquisition>> {
        let start = Instant::now();
        let patience = patience.beginning(start);
        let mut waiter = Waiter {
            shared: &self.shared,
            me: self.token,
            patience,
            interval: self.settings.poll_interval,
            strategy: self.settings.strategy,
            event: self.settings.exit_event.as_ref(),
            blocked,
            probed: false,
            spun: false,
            gave_up: None,
        };
        let mut proof = KernelProof { probe: self.shared.probe() };
        let word = self.shared.region().owner_word();
        let won = acquire_contended(word, self.token, self.settings.fence, &mut proof, &mut waiter);
        if let Ok(acquisition) = won {
            if acquisition.recovered_from.is_some() && self.shared.is_orphaned() {
                return Err(self.hand_back_orphan());
            }
            return Ok(Some(acquisition));
        }
        if won.is_err_and(Word::is_free) {
            futex::wake_one(word); // the wake that we used up may have been meant for others
        }
        if patience.is_one_try() && matches!(waiter.gave_up, Some(GaveUp::TimedOut) | None) {
            return Ok(None); // before anything is allocated: a signal handler may have called
        }
        let name = self.name.to_string();
        Err(match waiter.gave_up {
            Some(GaveUp::TimedOut) | None => {
                Error::TimedOut { name, waited: start.elapsed(), holder: self.holder_now() }
            }
            Some(GaveUp::Cancelled) => Error::Cancelled { name, holder: self.holder_now() },
            Some(GaveUp::WouldDeadlock) => Error::WouldDeadlock { name },
            Some(GaveUp::Orphaned) => self.orphaned(),
            Some(GaveUp::Event(error)) => error,
        })
    }

    /// Ends a take-over on a file that has lost its name: a new lock of that name may be held by somebody else.
    fn hand_back_orphan(&self) -> Error {
        let word = self.shared.region().owner_word();
        if let Ok(Wake::One) = protocol::abandon(word, self.token, self.settings.fence) {
            futex::wake_one(word);
        }
        self.orphaned()
    }

    /// What a new holder does before its section begins.
    #[allow(clippy::inline_always, reason = "part of the fast path of acquiring")]
    #[inline(always)]
    fn begin(&self, acquisition: Acquisition) {
        let region = self.shared.region();
        region.count_acquisition(self.settings.fence);
        self.hold.set(self.hold.get().wrapping_add(1));
        if acquisition.owner_died {
            self.note_death(region, acquisition.recovered_from);
        }
        if !(self.recorded.get() && region.record_describes(self.token)) {
            self.write_record(region);
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
            Some(dead) => log::warn!("{self}: taken over from a dead owner, {dead}"),
            None => log::warn!("{self}: an earlier owner died, and nobody has declared the data consistent"),
        }
    }

    #[cold]
    pub(crate) fn write_record(&self, region: Region<'_>) {
        let record = Record {
            uuid: self.uuid,
            pid: rustix::process::getpid().as_raw_nonzero().get().unsigned_abs(),
            pid_namespace: pid_namespace(),
            since: boot_seconds(),
            description: self.description.borrow().clone(),
        };
        region.write_record(self.token, &record, self.settings.fence);
        self.recorded.set(true);
    }
}

/// Giving back.
impl ShmLock {
    /// Ends one guard of the hold with this number, if that hold still lasts.
    #[inline]
    pub(crate) fn drop_guard(&self, hold: u32) -> std::result::Result<(), Loss> {
        if !self.shared.is_ours() {
            return Err(self.forked());
        }
        if hold != self.hold.get() || !self.is_held() {
            return Err(Loss::NotHeld);
        }
        self.guards.set(self.guards.get() - 1);
        self.give_one_back()
    }

    /// All of the drop of an only guard when nothing is out of the ordinary; `false`, and nothing done, otherwise. It does
    /// what [`drop_guard`](Self::drop_guard) does; see [`take_undisturbed`](Self::take_undisturbed).
    #[inline]
    pub(crate) fn give_undisturbed(&self, hold: u32) -> bool {
        let ordinary = self.shared.is_ours()
            && self.holds.get() == 1
            && self.guards.get() == 1
            && self.hold.get() == hold
            && self.settings.block_signals == BlockSignals::Never
            && log::max_level() < log::LevelFilter::Debug
            && self.recovered.try_borrow().is_ok_and(|recovered| recovered.is_none());
        if !ordinary {
            return false;
        }
        self.guards.set(0);
        let word = self.shared.region().owner_word();
        match self.in_transition(|| protocol::release(word, self.token, self.settings.fence), |_| 0) {
            Ok(Wake::Nobody) => {}
            Ok(Wake::One) => futex::wake_one(word),
            Err(found) => _ = self.overwritten(found),
        }
        true
    }

    #[inline]
    pub(crate) fn give_one_back(&self) -> std::result::Result<(), Loss> {
        match self.holds.get() {
            1 => {
                log::debug!("releasing {self}");
                self.in_transition(|| self.give_outermost(), |_| 0).map_err(|found| self.overwritten(found))
            }
            holds => {
                self.holds.set(holds - 1);
                Ok(())
            }
        }
    }

    #[inline]
    fn give_outermost(&self) -> std::result::Result<(), Word> {
        let _blocked = match self.settings.block_signals {
            BlockSignals::Never => None,
            BlockSignals::Transitions => Some(Blocked::now()),
            BlockSignals::WhileHeld => self.blocked.take(),
        };
        if self.recovered.borrow().is_some() {
            self.recovered.replace(None);
        }
        let word = self.shared.region().owner_word();
        if protocol::release(word, self.token, self.settings.fence)? == Wake::One {
            futex::wake_one(word);
        }
        Ok(())
    }
}

impl Drop for ShmLock {
    fn drop(&mut self) {
        if !self.shared.is_ours() {
            return; // a forked child: the slot, the word and the mapping are the parent's
        }
        if self.is_held() {
            if self.guards.get() == 0 {
                self.holds.set(1);
                let _ = self.give_one_back(); // logged where it was found
            } else {
                log::warn!("{self} was closed with a guard leaked; the next owner is told that this one died");
            }
        }
        self.slot.retire(); // before the token goes: nobody here may act by it afterwards
        self.cut_lifeline();
    }
}

/// A word that names the token which we have just been given names a dead owner: this very token proves it.
pub(crate) fn free_stale(region: Region<'_>, token: Token, fence: FenceScope) {
    let Some(wake) = protocol::declare_stale(region.owner_word(), token, fence) else { return };
    region.count_recovery();
    if wake == Wake::One {
        futex::wake_one(region.owner_word());
    }
}

/// Why a hold could not be given back as it should. An [`Error`] without its text, for drops allocate nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Loss {
    Forked,
    NotHeld,
    Overwritten,
}

/// Words for what went wrong.
impl ShmLock {
    #[cold]
    pub(crate) fn told(&self, loss: Loss) -> Error {
        let name = self.name.to_string();
        match loss {
            Loss::Forked => Error::ForkedHandle { name },
            Loss::NotHeld => Error::NotHeld { name },
            Loss::Overwritten => Error::Overwritten { name, path: self.path().to_owned() },
        }
    }

    #[inline]
    pub(crate) fn check_process(&self) -> Result<()> {
        if self.shared.is_ours() { Ok(()) } else { Err(self.told(self.forked())) }
    }

    /// The region, in the process that it belongs to.
    #[inline]
    pub(crate) fn region(&self) -> Result<Region<'_>> {
        self.check_process()?;
        Ok(self.shared.region())
    }

    fn holder_now(&self) -> Option<Box<Holder>> {
        Holder::read(self.shared.region(), self.settings.fence).map(Box::new)
    }

    #[cold]
    fn forked(&self) -> Loss {
        log::warn!("{self} belongs to the parent process and was used in a forked child");
        Loss::Forked
    }

    #[cold]
    pub(crate) fn orphaned(&self) -> Error {
        Error::Orphaned { name: self.name.to_string(), path: self.path().to_owned() }
    }

    #[cold]
    pub(crate) fn overwritten(&self, found: Word) -> Loss {
        log::warn!("{self}: the owner word was overwritten while we held the lock; it is now {found:?}");
        Loss::Overwritten
    }
}
