//! The public calls that acquire the lock.

use std::time::{Duration, Instant};

use crate::error::Result;
use crate::lock::guard::Guard;
use crate::lock::handle::ShmLock;
use crate::wait::deadline::Deadline;
#[cfg(doc)]
use crate::{BlockSignals, Builder, Error};

impl ShmLock {
    /// Acquires the lock.
    ///
    /// Blocks until the lock is acquired. A dead owner's lock is recovered as soon as its process
    /// is gone, or within a second where nothing tells of that ([`Builder::poll_interval`]); the
    /// guard tells of the death ([`Guard::recovered`]). A wait of a millisecond or more may start a
    /// thread, and allocate memory.
    ///
    /// # Errors
    /// [`Error::Cancelled`], [`Error::Interrupted`], [`Error::WouldDeadlock`], [`Error::Orphaned`],
    /// [`Error::ForkedHandle`], [`Error::NestingTooDeep`]; [`Error::Overwritten`] if this handle
    /// held the lock and the owner word no longer says so.
    ///
    /// # Limits
    /// There is no order among waiters, see [`Builder::fairness_interval`].
    ///
    /// # Examples
    /// ```
    /// use shmlock::ShmLock;
    ///
    /// let lock = ShmLock::open("doc-lock")?;
    /// let guard = lock.lock()?;
    /// // the critical section
    /// drop(guard);
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    #[inline]
    pub fn lock(&self) -> Result<Guard<'_>> {
        self.lock_for_ever()
    }

    /// Tries to acquire the lock once. Returns `None` if another handle holds it.
    ///
    /// Succeeds if the lock is free, held by this handle, or held by a dead owner. Does not wait
    /// for the owner. The recovery of a dead owner's lock waits for a fork(3) of another thread,
    /// for a second at most.
    ///
    /// # Errors
    /// [`Error::Orphaned`] for a dead owner's lock whose file was removed; [`Error::ForkedHandle`],
    /// [`Error::NestingTooDeep`], [`Error::Overwritten`].
    ///
    /// # Examples
    /// ```
    /// use shmlock::ShmLock;
    ///
    /// # let name = &format!("doc-try-lock-{}", std::process::id()); // other tests run meanwhile
    /// let (lock, other) = (ShmLock::open(name)?, ShmLock::open(name)?);
    /// let guard = lock.try_lock()?;
    /// assert!(guard.is_some());
    /// assert!(other.try_lock()?.is_none());
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    pub fn try_lock(&self) -> Result<Option<Guard<'_>>> {
        self.lock_once()
    }

    /// Acquires the lock, waiting at most `timeout`. Zero is one try.
    ///
    /// Blocks. The timeout does not depend on the poll interval. The call may return some tens of
    /// microseconds late, and later if it recovers the lock while another thread forks. A free lock
    /// is acquired whatever the timeout.
    ///
    /// # Errors
    /// [`Error::TimedOut`], which names the holder. Else those of [`lock`](Self::lock).
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use shmlock::ShmLock;
    ///
    /// # let name = &format!("doc-try-lock-for-{}", std::process::id());
    /// let (lock, other) = (ShmLock::open(name)?, ShmLock::open(name)?);
    /// let _guard = lock.try_lock_for(Duration::from_secs(1))?;
    /// let refused = other.try_lock_for(Duration::ZERO);
    /// assert!(refused.is_err_and(|error| error.is_timed_out()));
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    pub fn try_lock_for(&self, timeout: Duration) -> Result<Guard<'_>> {
        self.lock_with(Deadline::For(timeout))
    }

    /// Acquires the lock, waiting until `deadline` at most. A deadline that has passed is one try.
    ///
    /// Blocks. A free lock is acquired whatever the deadline.
    ///
    /// # Errors
    /// Those of [`try_lock_for`](Self::try_lock_for).
    pub fn try_lock_until(&self, deadline: Instant) -> Result<Guard<'_>> {
        self.lock_with(Deadline::Until(deadline))
    }

    /// Acquires the lock without a guard: pair it with [`release`](Self::release).
    ///
    /// For callers that cannot keep a guard. Blocks until the lock is acquired.
    ///
    /// # Errors
    /// Those of [`lock`](Self::lock).
    ///
    /// # Limits
    /// Send the handle to another thread only while it holds nothing. Otherwise the thread that
    /// acquired counts as the holder: its other handles answer [`Error::WouldDeadlock`], its
    /// signals stay blocked ([`BlockSignals::WhileHeld`]), and
    /// [`ExitHandlers`](crate::ExitHandlers) release the lock when *it* exits, although the
    /// critical section goes on elsewhere until the process has ended.
    ///
    /// # Examples
    /// ```
    /// use shmlock::ShmLock;
    ///
    /// let lock = ShmLock::open("doc-acquire")?;
    /// lock.acquire()?;
    /// // the critical section
    /// lock.release()?;
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    #[inline]
    pub fn acquire(&self) -> Result<()> {
        self.acquire_for_ever()
    }

    /// Acquires the lock as [`acquire`](Self::acquire) does. Returns `true` if
    /// [`recovered`](Self::recovered) then has something to tell.
    ///
    /// For interfaces to other languages, which return that with each acquisition: a lock that is
    /// acquired undisturbed has nothing to tell, so the owner word is not read again.
    ///
    /// # Errors
    /// Those of [`acquire`](Self::acquire).
    #[doc(hidden)]
    #[inline]
    pub fn acquire_and_tell(&self) -> Result<bool> {
        self.acquire_told()
    }

    /// Tries once to acquire the lock without a guard. Returns `false` if another handle holds it.
    ///
    /// Blocks as [`try_lock`](Self::try_lock) does: only for the recovery of a dead owner's lock.
    ///
    /// # Errors
    /// Those of [`try_lock`](Self::try_lock).
    ///
    /// # Limits
    /// Those of [`acquire`](Self::acquire).
    pub fn try_acquire(&self) -> Result<bool> {
        self.acquire_once()
    }

    /// Acquires the lock without a guard, waiting at most `timeout`. Zero is one try.
    ///
    /// Blocks. A free lock is acquired whatever the timeout.
    ///
    /// # Errors
    /// Those of [`try_lock_for`](Self::try_lock_for).
    ///
    /// # Limits
    /// Those of [`acquire`](Self::acquire).
    pub fn try_acquire_for(&self, timeout: Duration) -> Result<()> {
        self.acquire_with(Deadline::For(timeout))
    }

    /// Acquires the lock without a guard, waiting until `deadline` at most. A deadline that has
    /// passed is one try.
    ///
    /// Blocks. A free lock is acquired whatever the deadline.
    ///
    /// # Errors
    /// Those of [`try_lock_for`](Self::try_lock_for).
    ///
    /// # Limits
    /// Those of [`acquire`](Self::acquire).
    pub fn try_acquire_until(&self, deadline: Instant) -> Result<()> {
        self.acquire_with(Deadline::Until(deadline))
    }
}
