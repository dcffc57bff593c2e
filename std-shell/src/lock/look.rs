//! Looks at the lock through a handle. Nothing here changes anything.

use crate::error::Result;
use crate::holder::Holder;
use crate::inspect::statistics::Statistics;
use crate::inspect::status::LockStatus;
use crate::lock::handle::ShmLock;

impl ShmLock {
    /// Whether anybody holds the lock now. A dead owner counts until it is replaced.
    ///
    /// # Errors
    /// [`Error::ForkedHandle`].
    pub fn is_locked(&self) -> Result<bool> {
        Ok(!self.region()?.word().is_free())
    }

    /// Who holds the lock; `None` if nobody. Changes nothing.
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

    /// Whether the lock is in order. Changes nothing; at most two system calls.
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
    /// assert_eq!(status.occupancy, LockState::Unlocked);
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    pub fn status(&self) -> Result<LockStatus> {
        self.check_process()?;
        Ok(LockStatus::look(&self.shared, self.token, self.is_held()))
    }

    /// See [`Guard::fencing_token`]; `None` if this handle does not hold the lock.
    #[must_use]
    pub fn fencing_token(&self) -> Option<u64> {
        let region = self.region().ok()?;
        self.is_held().then(|| region.fencing_token())
    }

    /// How much the lock has been used, by anybody, in the life of its file. Changes nothing; no
    /// system call.
    ///
    /// # Errors
    /// [`Error::ForkedHandle`](crate::Error::ForkedHandle).
    ///
    /// # Examples
    /// ```
    /// use shmlock::ShmLock;
    ///
    /// # let name = &format!("doc-statistics-{}", std::process::id()); // others may run this at the same time
    /// let lock = ShmLock::builder(name).measure_holds(true).open()?;
    /// drop(lock.lock()?);
    /// let statistics = lock.statistics()?;
    /// assert_eq!((statistics.acquisitions, statistics.contended, statistics.recoveries), (1, 0, 0));
    /// assert!(statistics.longest_hold.is_some());
    /// # Ok::<(), shmlock::Error>(())
    /// ```
    pub fn statistics(&self) -> Result<Statistics> {
        let region = self.region()?;
        Ok(Statistics::of(region, self.shared.header().longest_hold()))
    }
}
