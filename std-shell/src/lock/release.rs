//! Releases the lock, beyond the fast path, and closes the handle.

use std::result::Result as StdResult;
use std::sync::atomic::AtomicU32;

use shmlock_core::Word;
use shmlock_core::protocol::{self, Wake};

use crate::error::release::ReleaseError;
use crate::error::{Error, Result};
use crate::lock::handle::ShmLock;
use crate::lock::hold_count::{AfterTransition, Ended, HoldKind};
use crate::sys::futex;
use crate::sys::signal_mask::{BlockSignals, Blocked};
use crate::tell::tell;
use crate::wait::reactor;

/// Why a release found no lock to release: a [`ReleaseError`] that is not logged yet.
#[derive(Clone, Copy)]
enum Lost {
    /// A signal handler has forked, and this is the child.
    Forked,
    Overwritten(Word),
}

/// How a release left the owner word.
#[derive(Clone, Copy)]
enum Freed {
    Released,
    /// With the DIED flag.
    Abandoned,
}

impl ShmLock {
    /// Releases one hold of [`acquire`](Self::acquire).
    ///
    /// Never blocks.
    ///
    /// # Errors
    /// [`Error::NotHeld`]; [`Error::GuardsAlive`] if only guards hold the lock;
    /// [`Error::Overwritten`]; [`Error::ForkedHandle`].
    #[inline]
    pub fn release(&self) -> Result<()> {
        match self.release_fast(HoldKind::Unguarded) {
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

    /// Releases all holds of this handle at once, those of guards included. Returns `true` if there
    /// were any.
    ///
    /// The guards then hold nothing, and their drop does nothing. Holds of other handles stay.
    /// Never blocks.
    ///
    /// # Errors
    /// [`Error::Overwritten`], [`Error::ForkedHandle`].
    ///
    /// # Examples
    /// ```
    /// use shmlock::ShmLock;
    ///
    /// let lock = ShmLock::open("doc-force-release")?;
    /// lock.acquire()?;
    /// let guard = lock.lock()?;
    /// assert!(lock.force_release()?);
    /// assert!(!lock.is_held() && guard.fencing_token().is_none());
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    pub fn force_release(&self) -> Result<bool> {
        match self.check_hold().and_then(|()| self.end_all()) {
            Ok(()) => Ok(true),
            Err(ReleaseError::NotHeld) => Ok(false),
            Err(loss) => Err(self.error_of(loss)),
        }
    }

    /// Closes the handle, and returns what its drop can only log. A hold of
    /// [`acquire`](Self::acquire) is released.
    ///
    /// Waits for a fork(3) of another thread, for a second at most, as the drop does. The handle is
    /// closed whatever the result.
    ///
    /// # Errors
    /// [`Error::GuardsAlive`] if a guard was leaked: the lock is not released, and the next owner
    /// is told that this one died. [`Error::Overwritten`]; [`Error::ForkedHandle`].
    ///
    /// # Examples
    /// ```
    /// use shmlock::ShmLock;
    ///
    /// let lock = ShmLock::open("doc-close")?;
    /// lock.acquire()?;
    /// lock.close()?;
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    pub fn close(self) -> Result<()> {
        match self.holds.guards() {
            0 => self.force_release().map(drop),
            guards => {
                self.check_hold().map_err(|loss| self.error_of(loss))?;
                Err(Error::GuardsAlive { name: self.name.to_string(), guards })
            }
        }
    }

    /// Ends the hold of a guard of this epoch, if the hold still lasts.
    pub(crate) fn release_guard(&self, epoch: u32) -> StdResult<(), ReleaseError> {
        if !self.shared.is_ours() {
            return Err(self.forked());
        }
        if epoch != self.holds.guard_epoch() || !self.holds.is_held() {
            return Err(ReleaseError::NotHeld);
        }
        self.end_one(HoldKind::Guarded)
    }

    /// Ends one hold of this kind, of which there is at least one. The owner word decides whether
    /// it was one.
    #[inline]
    fn end_one(&self, kind: HoldKind) -> StdResult<(), ReleaseError> {
        match self.holds.end_one(kind) {
            Ended::Nested => {
                self.panic_watch.note_end();
                self.other_owner().map_or(Ok(()), |found| Err(self.void(found)))
            }
            Ended::Outermost => {
                let released = self.release_outermost();
                self.tell_released(released)
            }
        }
    }

    /// Ends all holds of a handle that has some. Guards that still exist release nothing.
    fn end_all(&self) -> StdResult<(), ReleaseError> {
        self.holds.end_all();
        self.close_fast_path(); // a guard may have outlived its hold
        let released = self.release_outermost();
        self.tell_released(released)
    }

    /// Logs a release. Last of all: a logger is foreign code.
    fn tell_released(&self, released: StdResult<Freed, Lost>) -> StdResult<(), ReleaseError> {
        match released {
            Ok(Freed::Released) => tell!(Debug, "released {self}"),
            Ok(Freed::Abandoned) => tell!(Warn, "{self}: a panic ended the critical section"),
            Err(Lost::Forked) => return Err(self.forked()),
            Err(Lost::Overwritten(found)) => return Err(self.overwritten(found)),
        }
        Ok(())
    }

    /// Releases the lock in the transition that has begun, and ends the transition.
    fn release_outermost(&self) -> StdResult<Freed, Lost> {
        let blocked = match self.settings.block_signals {
            BlockSignals::Never => None,
            BlockSignals::Transitions => Some(Blocked::now()),
            BlockSignals::WhileHeld => self.blocked.take(),
        };
        // A handler of a signal that came just before they were blocked may have forked.
        let released = if blocked.is_none() || self.shared.is_ours() {
            self.stop_hold_time();
            self.panic_watch.note_end();
            let freed = if self.panic_watch.has_panicked() {
                self.abandon_word().map(|()| Freed::Abandoned)
            } else {
                self.release_word().map(|()| Freed::Released)
            };
            freed.map_err(Lost::Overwritten)
        } else {
            Err(Lost::Forked)
        };
        self.holds.end_transition(AfterTransition::NotHeld);
        drop(blocked); // pending signals run their handlers here
        released
    }

    /// Releases a lock in whose word flags are set, and wakes one waiter if WAITERS is among them.
    ///
    /// The kernel chooses the waiter, futex(2). *If we die before the wake:* our end is an event
    /// for the processes that watch (`watch/`).
    ///
    /// # Errors
    /// The word found, if it does not name this handle.
    #[cold]
    pub(crate) fn release_contended(&self, word: &AtomicU32) -> StdResult<(), Word> {
        let wake = protocol::release(word, self.token, self.settings.fence)?;
        if wake == Wake::One {
            self.wake_one(word);
        }
        self.fairness.after_release(wake == Wake::One);
        self.fast_path.set(self.no_bookkeeping && !self.fairness.owes_head_start());
        if !self.fast_path.get() {
            self.close_fast_path();
        }
        Ok(())
    }
}

impl ShmLock {
    /// Wakes one waiter. Where the kernel refuses futexes, makes an event of the file: a process
    /// that watches it wakes one.
    pub(crate) fn wake_one(&self, word: &AtomicU32) {
        if futex::wake(word, 1).is_err() {
            self.shared.make_event();
        }
    }
}

impl Drop for ShmLock {
    fn drop(&mut self) {
        if !self.shared.is_ours() {
            return; // a forked child: the slot, the word and the mapping are the parent's
        }
        let is_leaked = self.holds.guards() > 0;
        let released = match self.other_owner() {
            Some(found) => Some(Err(Lost::Overwritten(found))),
            None if self.holds.is_held() && !is_leaked => {
                self.holds.end_all();
                Some(self.release_outermost())
            }
            None => None,
        };
        let waits = reactor::forget(self.slot.slot());
        self.slot.retire(); // before the token is free: from here on no code here acts by it
        if self.shared.is_ours() {
            // Not in a child that a signal handler has forked meanwhile: the lifeline is the
            // parent's.
            self.cut_lifeline();
            self.die_in_company();
        }
        // From here on foreign code. Nothing acts by this handle any more, and the drops of the
        // fields do the rest.
        drop(waits);
        match released {
            Some(released) => {
                let _ = self.tell_released(released); // a drop has no caller to tell
            }
            None if is_leaked => {
                tell!(
                    Warn,
                    "{self} was closed with a guard leaked; \
                     the next owner is told that this one died"
                );
            }
            None => {}
        }
        tell!(Debug, "closing {self}");
    }
}
