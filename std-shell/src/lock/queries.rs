//! Reads the state of the lock through a handle. Nothing here changes anything.

#[cfg(doc)]
use crate::Error;
use crate::error::Result;
use crate::holder::Holder;
use crate::inspect::statistics::Statistics;
use crate::inspect::status::LockStatus;
use crate::lock::handle::ShmLock;

impl ShmLock {
    /// Returns `true` if any handle holds the lock now. A dead owner counts until its lock is
    /// recovered.
    ///
    /// Never blocks. The answer may be out of date at once.
    ///
    /// # Errors
    /// [`Error::ForkedHandle`].
    pub fn is_locked(&self) -> Result<bool> {
        Ok(!self.region()?.word().is_free())
    }

    /// Returns the holder of the lock; `None` if the lock is free.
    ///
    /// Changes nothing. Never blocks.
    ///
    /// # Errors
    /// [`Error::ForkedHandle`].
    ///
    /// # Examples
    /// ```
    /// use shmlock::ShmLock;
    ///
    /// let lock = ShmLock::builder("doc-holder").description("refilling").open()?;
    /// let _guard = lock.lock()?;
    /// if let Some(holder) = lock.holder()? {
    ///     assert_eq!((holder.uuid(), holder.description()), (Some(lock.uuid()), "refilling"));
    ///     println!("held by {holder}");
    /// }
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    pub fn holder(&self) -> Result<Option<Holder>> {
        Ok(Holder::read(self.region()?, self.settings.fence))
    }

    /// Returns the state of the lock and of its file.
    ///
    /// Changes nothing. Never blocks. Makes two system calls, seven if another handle holds the
    /// lock, and more while the lock changes hands.
    ///
    /// # Errors
    /// [`Error::ForkedHandle`].
    ///
    /// # Examples
    /// ```
    /// use shmlock::{LockState, ShmLock};
    ///
    /// let lock = ShmLock::open("doc-status")?;
    /// let status = lock.status()?;
    /// assert!(status.is_healthy());
    /// assert_eq!(status.state, LockState::Unlocked);
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    pub fn status(&self) -> Result<LockStatus> {
        self.check_process()?;
        Ok(LockStatus::look(&self.shared, self.token, self.is_held()))
    }

    /// Returns a number that grows with every acquisition of this lock; `None` if this handle does
    /// not hold the lock. [`Guard::fencing_token`](crate::Guard::fencing_token) says what it is
    /// for.
    ///
    /// Never blocks; async-signal-safe.
    #[must_use]
    pub fn fencing_token(&self) -> Option<u64> {
        self.is_held().then(|| self.shared.region().fencing_token())
    }

    /// Returns `true` in a forked child, for a handle of the parent.
    ///
    /// For interfaces to other languages: unlike the error of a call, the answer is not allocated.
    /// Never blocks; async-signal-safe.
    #[doc(hidden)]
    #[must_use]
    pub fn is_inherited(&self) -> bool {
        !self.shared.is_ours()
    }

    /// Returns how often the lock was acquired, by all handles in the life of its file.
    ///
    /// Changes nothing. Never blocks; makes no system call.
    ///
    /// # Errors
    /// [`Error::ForkedHandle`].
    ///
    /// # Examples
    /// ```
    /// use shmlock::ShmLock;
    ///
    /// # let name = &format!("doc-statistics-{}", std::process::id()); // other tests run meanwhile
    /// let lock = ShmLock::builder(name).measure_holds(true).open()?;
    /// drop(lock.lock()?);
    /// let statistics = lock.statistics()?;
    /// assert_eq!((statistics.acquisitions, statistics.contended), (1, 0));
    /// assert!(statistics.longest_hold.is_some());
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    pub fn statistics(&self) -> Result<Statistics> {
        let region = self.region()?;
        Ok(Statistics::of(region, self.shared.header().longest_hold()))
    }
}
