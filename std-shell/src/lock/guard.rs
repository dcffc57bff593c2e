//! A hold on the lock for as long as a value lives.

use std::fmt;
use std::marker::PhantomData;

use crate::error::Result;
use crate::error::release::ReleaseError;
use crate::holder::Recovered;
use crate::lock::handle::ShmLock;
use crate::lock::hold_count::HoldKind;

/// Holds the lock until it is dropped.
///
/// Guards of one handle nest; the lock is free when the last is dropped and no [`ShmLock::acquire`]
/// is open. Unwinding drops guards, so a panic releases. A guard is not `Send`: the hold belongs to
/// the thread that took it.
///
/// Dropping never panics and never allocates. Should the owner word not name the handle any more
/// (an exit handler has released the lock, or a stranger has overwritten the word), the drop
/// releases nothing and logs a warning; [`release`](Self::release) returns it as an error. Then the
/// guard holds nothing: it has neither a fencing token nor a death to tell of.
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct Guard<'a> {
    lock: &'a ShmLock,
    /// After a forced release the handle has another: then the drop has nothing to give back.
    epoch: u32,
    not_send: PhantomData<*const ()>,
}

impl<'a> Guard<'a> {
    #[inline]
    pub(crate) fn new(lock: &'a ShmLock, epoch: u32) -> Self {
        Self { lock, epoch, not_send: PhantomData }
    }

    /// Whether an owner died holding the lock, and who; `None` if the data was left in order.
    ///
    /// Then look at the data, mend it, and say so by
    /// [`declare_consistent`](Self::declare_consistent). Until somebody does, every later owner is
    /// told as well.
    ///
    /// # Examples
    /// ```
    /// use shmlock::ShmLock;
    ///
    /// let lock = ShmLock::open("doc-recovered")?;
    /// let guard = lock.lock()?;
    /// if let Some(recovered) = guard.recovered() {
    ///     if let Some(dead) = recovered.dead {
    ///         eprintln!("{dead} died in its section"); // pid, uuid, description
    ///     }
    ///     // look at the data, mend it, and then:
    ///     guard.declare_consistent()?;
    /// }
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    #[must_use]
    pub fn recovered(&self) -> Option<Recovered> {
        self.lock.recovered().filter(|_| self.is_current())
    }

    /// Returns `true` if the hold that this guard is part of still lasts: it was not ended by
    /// force, and the owner word names the handle.
    pub(crate) fn is_current(&self) -> bool {
        self.epoch == self.lock.holds.epoch() && self.lock.is_held()
    }

    /// Says that the protected data is consistent again.
    ///
    /// # Errors
    /// [`Error::NotHeld`](crate::Error::NotHeld) once the hold was ended by force, or another call
    /// has told of its loss; [`Error::Overwritten`](crate::Error::Overwritten);
    /// [`Error::ForkedHandle`](crate::Error::ForkedHandle).
    pub fn declare_consistent(&self) -> Result<()> {
        if self.epoch != self.lock.holds.epoch() {
            self.lock.check_process()?;
            return Err(self.lock.error_of(ReleaseError::NotHeld));
        }
        self.lock.declare_consistent()
    }

    /// A number that grows with every acquisition of this lock by anybody, for as long as its file
    /// lives. Hand it to whatever the lock protects, so that it can refuse a late-comer who still
    /// believes to hold the lock. 0 once the hold is over.
    #[must_use]
    pub fn fencing_token(&self) -> u64 {
        self.is_current().then(|| self.lock.fencing_token()).flatten().unwrap_or(0)
    }

    /// The handle that this guard holds.
    #[must_use]
    pub fn lock(&self) -> &'a ShmLock {
        self.lock
    }

    /// Gives the hold back, and says whether that went well. Dropping does the same and only logs.
    /// Never blocks.
    ///
    /// # Errors
    /// [`Error::Overwritten`](crate::Error::Overwritten);
    /// [`Error::ForkedHandle`](crate::Error::ForkedHandle);
    /// [`Error::NotHeld`](crate::Error::NotHeld) once the hold was ended by force, or another call
    /// has told of its loss.
    pub fn release(self) -> Result<()> {
        let (lock, epoch) = (self.lock, self.epoch);
        std::mem::forget(self);
        lock.drop_guard(epoch).map_err(|loss| lock.error_of(loss))
    }
}

impl Drop for Guard<'_> {
    #[inline]
    fn drop(&mut self) {
        // A plain hold of another epoch is not this guard's.
        if self.epoch == self.lock.holds.epoch()
            && self.lock.give_undisturbed(HoldKind::Guarded).is_some()
        {
            return;
        }
        // Whatever is wrong has been logged where it was found; there is nobody to tell from a
        // drop.
        let _ = self.lock.drop_guard(self.epoch);
    }
}

impl fmt::Debug for Guard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("lock", self.lock).finish_non_exhaustive()
    }
}
