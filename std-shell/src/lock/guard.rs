//! Holds the lock for as long as a value lives.

use std::fmt;
use std::marker::PhantomData;

#[cfg(doc)]
use crate::Error;
use crate::error::Result;
use crate::error::release::ReleaseError;
use crate::holder::Recovered;
use crate::lock::handle::ShmLock;

/// A hold on the lock, which its drop ends.
///
/// Guards of one handle nest. The lock is free when the last guard is dropped and each
/// [`ShmLock::acquire`] is paired with a release. Unwinding drops guards, so a panic releases. A
/// guard is not `Send`: the hold belongs to the thread that acquired it.
///
/// Apart from the logger, dropping never blocks, panics or allocates. It may yield the CPU
/// ([`Builder::fairness_interval`](crate::Builder::fairness_interval)). If the owner word does not
/// name the handle any more (an exit handler has released the lock, or the word was overwritten
/// from outside), the drop releases nothing and logs a warning; [`release`](Self::release) returns
/// it as an error. Such a guard holds nothing: it has neither a fencing token nor a death to
/// report.
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct Guard<'a> {
    lock: &'a ShmLock,
    /// After a forced release the handle has another epoch, and the drop releases nothing.
    epoch: u32,
    not_send: PhantomData<*const ()>,
}

impl<'a> Guard<'a> {
    #[inline]
    pub(crate) fn new(lock: &'a ShmLock, epoch: u32) -> Self {
        Self { lock, epoch, not_send: PhantomData }
    }

    /// Returns the known facts about an owner that died holding the lock; `None` if the data was
    /// left in order.
    ///
    /// Then check the data, repair it, and call
    /// [`declare_consistent`](Self::declare_consistent). Until then every later owner is told of
    /// the death as well. Never blocks.
    ///
    /// # Examples
    /// ```
    /// use shmlock::ShmLock;
    ///
    /// let lock = ShmLock::open("doc-recovered")?;
    /// let guard = lock.lock()?;
    /// if let Some(recovered) = guard.recovered() {
    ///     if let Some(dead) = recovered.dead {
    ///         eprintln!("{dead} died in its critical section"); // pid, uuid, description
    ///     }
    ///     // check the data, repair it, and then:
    ///     guard.declare_consistent()?;
    /// }
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    #[must_use]
    pub fn recovered(&self) -> Option<Recovered> {
        if self.lock.is_told_of_death() { self.recovered_if_current() } else { None }
    }

    /// Returns the recovery of a hold that is told of a death. Apart, because most are not.
    #[cold]
    #[inline(never)]
    fn recovered_if_current(&self) -> Option<Recovered> {
        self.lock.recovered().filter(|_| self.is_current())
    }

    /// Returns `true` if the hold of this guard was not ended by force, and the owner word names
    /// the handle.
    pub(crate) fn is_current(&self) -> bool {
        self.epoch == self.lock.holds.guard_epoch() && self.lock.is_held()
    }

    /// Declares the protected data consistent: later owners are not told of the death. Never
    /// blocks.
    ///
    /// # Errors
    /// [`Error::NotHeld`] once the hold was ended by force, or another call has reported its loss;
    /// [`Error::Overwritten`]; [`Error::ForkedHandle`].
    pub fn declare_consistent(&self) -> Result<()> {
        if self.epoch != self.lock.holds.guard_epoch() {
            self.lock.check_process()?;
            return Err(self.lock.error_of(ReleaseError::NotHeld));
        }
        self.lock.declare_consistent()
    }

    /// Returns a number that grows with every acquisition of this lock, for as long as its file
    /// lives; `None` once the hold is over.
    ///
    /// Pass it to the protected resource, which then refuses requests with a smaller number: those
    /// come from a former owner that does not know of its loss. Never blocks.
    ///
    /// # Examples
    /// ```
    /// use shmlock::ShmLock;
    ///
    /// let lock = ShmLock::open("doc-fencing-token")?;
    /// let first = lock.lock()?.fencing_token();
    /// let guard = lock.lock()?;
    /// assert!(first < guard.fencing_token(), "send it with each request");
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    #[must_use]
    pub fn fencing_token(&self) -> Option<u64> {
        self.is_current().then(|| self.lock.fencing_token()).flatten()
    }

    /// Returns the handle by which this guard holds the lock.
    #[must_use]
    pub fn lock(&self) -> &'a ShmLock {
        self.lock
    }

    /// Ends the hold, and returns what went wrong. A drop does the same and only logs.
    ///
    /// Never blocks.
    ///
    /// # Errors
    /// [`Error::Overwritten`]; [`Error::ForkedHandle`]; [`Error::NotHeld`] once the hold was ended
    /// by force, or another call has reported its loss.
    pub fn release(self) -> Result<()> {
        let (lock, epoch) = (self.lock, self.epoch);
        std::mem::forget(self);
        lock.release_guard(epoch).map_err(|loss| lock.error_of(loss))
    }
}

impl Drop for Guard<'_> {
    #[inline]
    fn drop(&mut self) {
        self.lock.drop_guard(self.epoch);
    }
}

impl fmt::Debug for Guard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("lock", self.lock).finish_non_exhaustive()
    }
}
