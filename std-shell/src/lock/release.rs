//! Releases: what one handle does around the core's steps when a hold ends, and when the handle is
//! closed.

use std::result::Result as StdResult;
use std::sync::atomic::AtomicU32;

use shmlock_core::Word;
use shmlock_core::protocol::{self, Wake};

use crate::error::release::ReleaseError;
use crate::error::{Error, Result};
use crate::lock::handle::ShmLock;
use crate::lock::hold_count::{Ended, HoldKind};
use crate::sys::futex;
use crate::sys::signal_mask::{BlockSignals, Blocked};
use crate::tell::tell;
use crate::wait::fairness;
use crate::wait::reactor;

/// Why a lock was not there to be released. A [`ReleaseError`] that has not been logged yet.
enum Lost {
    /// A signal handler has forked, and this is the child.
    Forked,
    Overwritten(Word),
}

impl ShmLock {
    /// Gives back one hold taken by [`acquire`](Self::acquire).
    ///
    /// # Errors
    /// [`Error::NotHeld`]; [`Error::GuardsAlive`] if only guards hold the lock;
    /// [`Error::Overwritten`]; [`Error::ForkedHandle`].
    #[inline]
    pub fn release(&self) -> Result<()> {
        match self.give_undisturbed(HoldKind::Unguarded) {
            Some(Ok(())) => Ok(()),
            Some(Err(loss)) => Err(self.error_of(loss)),
            None => self.release_counted(),
        }
    }

    fn release_counted(&self) -> Result<()> {
        self.check_hold().map_err(|loss| self.error_of(loss))?;
        if let Some(guards) = self.holds.only_guards() {
            return Err(Error::GuardsAlive { name: self.name.to_string(), guards });
        }
        self.end_one(HoldKind::Unguarded).map_err(|loss| self.error_of(loss))
    }

    /// Gives back every hold of this handle at once, guards included: they then hold nothing, and
    /// their drop does nothing. Says whether the lock was held. Other handles' holds are not
    /// touched.
    ///
    /// # Errors
    /// [`Error::Overwritten`], [`Error::ForkedHandle`].
    pub fn force_release(&self) -> Result<bool> {
        match self.check_hold().and_then(|()| self.end_all()) {
            Ok(()) => Ok(true),
            Err(ReleaseError::NotHeld) => Ok(false),
            Err(loss) => Err(self.error_of(loss)),
        }
    }

    /// Ends one guard of this epoch, if what it is part of still lasts.
    pub(crate) fn drop_guard(&self, epoch: u32) -> StdResult<(), ReleaseError> {
        if !self.shared.is_ours() {
            return Err(self.forked());
        }
        if epoch != self.holds.epoch() || !self.holds.is_held() {
            return Err(ReleaseError::NotHeld);
        }
        self.end_one(HoldKind::Guarded)
    }

    /// All of the giving back of a plain hold; `None`, and nothing done, if this is none. See
    /// [`take_undisturbed`](Self::take_undisturbed).
    #[inline]
    pub(crate) fn give_undisturbed(&self, kind: HoldKind) -> Option<StdResult<(), ReleaseError>> {
        if !(self.holds.is_plain(kind) && self.shared.is_ours()) {
            return None;
        }
        let word = self.shared.region().owner_word();
        let give = || {
            protocol::release_fast(word, self.token, self.settings.fence)
                .or_else(|_| self.release_contended(word))
        };
        Some(self.holds.in_transition(give, |_| None).map_err(|found| self.overwritten(found)))
    }

    /// Ends one hold of this kind, of which there is at least one. The owner word decides whether
    /// it was one.
    #[inline]
    pub(crate) fn end_one(&self, kind: HoldKind) -> StdResult<(), ReleaseError> {
        match self.holds.end_one(kind) {
            Ended::Nested => self.usurped().map_or(Ok(()), |found| Err(self.void(found))),
            Ended::Outermost => self.end_outermost(),
        }
    }

    /// Ends all holds of a handle that has some; guards that still exist have nothing to release.
    pub(crate) fn end_all(&self) -> StdResult<(), ReleaseError> {
        self.holds.end_all();
        self.end_outermost()
    }

    /// Releases the lock, now that the transition has begun, and says how that went.
    #[inline]
    fn end_outermost(&self) -> StdResult<(), ReleaseError> {
        let given = self.give_outermost();
        self.say_how(given)
    }

    /// Logs how a release went. Last, when all of it is over: a logger is foreign code.
    #[inline]
    fn say_how(&self, given: StdResult<(), Lost>) -> StdResult<(), ReleaseError> {
        given.map_err(|lost| self.said_of(&lost))?;
        tell!(Debug, "released {self}");
        Ok(())
    }

    /// Releases the lock, now that the transition has begun, and ends the transition.
    #[inline]
    fn give_outermost(&self) -> StdResult<(), Lost> {
        let blocked = match self.settings.block_signals {
            BlockSignals::Never => None,
            BlockSignals::Transitions => Some(Blocked::now()),
            BlockSignals::WhileHeld => self.blocked.take(),
        };
        if self.recovered.borrow().is_some() {
            self.recovered.replace(None);
        }
        // A handler of a signal that came just before these were blocked may have forked.
        let is_ours = blocked.is_none() || self.shared.is_ours();
        let given = if is_ours { self.give_word() } else { Err(Lost::Forked) };
        self.holds.end_transition(None);
        drop(blocked); // signals that waited for it run their handlers here
        given
    }

    fn give_word(&self) -> StdResult<(), Lost> {
        self.hold_ends();
        let word = self.shared.region().owner_word();
        let given = protocol::release_fast(word, self.token, self.settings.fence);
        given.or_else(|_| self.release_contended(word)).map_err(Lost::Overwritten)
    }

    #[cold]
    fn said_of(&self, lost: &Lost) -> ReleaseError {
        match lost {
            Lost::Forked => self.forked(),
            Lost::Overwritten(found) => self.overwritten(*found),
        }
    }

    /// Gives back a lock that others may wait for, and wakes one of them, unless one is awake to
    /// take it.
    #[cold]
    fn release_contended(&self, word: &AtomicU32) -> StdResult<(), Word> {
        if self.fairness.may_go_on() {
            return self.pass_on(word);
        }
        let wake = protocol::release(word, self.token, self.settings.fence)?;
        if wake == Wake::One {
            futex::wake_one(word);
        }
        self.fairness.look(); // not before: a sleeper would have waited for it
        self.after_giving(wake);
        Ok(())
    }

    /// Releases a lock that a waiter most likely spins for; wakes one of those who sleep if
    /// our turn is over, or if nobody takes it.
    fn pass_on(&self, word: &AtomicU32) -> StdResult<(), Word> {
        self.fairness.look();
        let wake = if self.fairness.is_over() {
            protocol::release(word, self.token, self.settings.fence)?
        } else {
            protocol::release_without_wake(word, self.token, self.settings.fence)?;
            fairness::wake_unless_taken(word, || self.shared.is_ours())
        };
        if wake == Wake::One {
            futex::wake_one(word);
        }
        self.after_giving(wake);
        Ok(())
    }

    fn after_giving(&self, wake: Wake) {
        self.fast_path.set(self.no_bookkeeping && !self.fairness.is_passing());
        if wake == Wake::One {
            self.fairness.after_wake();
        }
    }
}

impl Drop for ShmLock {
    fn drop(&mut self) {
        if !self.shared.is_ours() {
            return; // a forked child: the slot, the word and the mapping are the parent's
        }
        let leaked = self.holds.guards() > 0;
        let ended = match self.usurped() {
            Some(found) => Some(Err(Lost::Overwritten(found))),
            None if self.holds.is_held() && !leaked => {
                self.holds.end_all();
                Some(self.give_outermost())
            }
            None => None,
        };
        let waits = reactor::forget(self.slot.slot());
        self.slot.retire(); // before the token goes: nobody here may act by it afterwards
        if self.shared.is_ours() {
            // Not in a child that a signal handler has forked meanwhile: it would cut the parent's.
            self.cut_lifeline();
        }
        // From here on foreign code. Whatever it does, nobody acts by this handle any more, and the
        // fields see to the rest.
        drop(waits);
        match ended {
            Some(ended) => {
                let _ = self.say_how(ended); // there is nobody to tell from a drop
            }
            None if leaked => {
                tell!(
                    Warn,
                    "{self} was closed with a guard leaked; the next owner is told that this one died"
                );
            }
            None => {}
        }
        tell!(Debug, "closing {self}");
    }
}
