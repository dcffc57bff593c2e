//! The calls that acquire the lock.

use std::time::{Duration, Instant};

use crate::error::Result;
use crate::lock::guard::Guard;
use crate::lock::handle::ShmLock;
use crate::lock::hold_count::HoldKind;
use crate::wait::deadline::Deadline;

impl ShmLock {
    /// Takes the lock, waiting as long as it takes.
    ///
    /// Blocks. Takes over from a dead owner within one poll interval of the moment its process is
    /// gone.
    ///
    /// # Errors
    /// [`Error::Cancelled`], [`Error::WouldDeadlock`], [`Error::Orphaned`],
    /// [`Error::ForkedHandle`], [`Error::NestingTooDeep`].
    #[inline]
    pub fn lock(&self) -> Result<Guard<'_>> {
        self.lock_with(Deadline::Forever)
    }

    /// Takes the lock if it is free, ours, or a dead owner's; `None` if somebody else holds it.
    /// Never blocks.
    ///
    /// # Errors
    /// [`Error::Orphaned`] for a dead owner's lock whose file was removed; [`Error::ForkedHandle`],
    /// [`Error::NestingTooDeep`].
    pub fn try_lock(&self) -> Result<Option<Guard<'_>>> {
        Ok(self.take(Deadline::None, HoldKind::Guarded)?.then(|| self.new_guard()))
    }

    /// Takes the lock, waiting at most `timeout`. Zero is one try. A free lock is taken whatever
    /// the timeout.
    ///
    /// Blocks; the timeout is kept to the precision of the clock, whatever the poll interval.
    ///
    /// # Errors
    /// [`Error::TimedOut`], or [`Error::WouldBlock`] for a timeout of zero, naming the holder; and
    /// as [`lock`](Self::lock).
    pub fn try_lock_for(&self, timeout: Duration) -> Result<Guard<'_>> {
        self.lock_with(Deadline::For(timeout))
    }

    /// As [`try_lock_for`](Self::try_lock_for), until a moment. A moment that has passed is one
    /// try.
    ///
    /// # Errors
    /// As [`try_lock_for`](Self::try_lock_for).
    pub fn try_lock_until(&self, deadline: Instant) -> Result<Guard<'_>> {
        self.lock_with(Deadline::Until(deadline))
    }

    /// As [`lock`](Self::lock), for callers that cannot keep a guard: pair it with
    /// [`release`](Self::release).
    ///
    /// Send the handle to another thread only while it holds nothing. Otherwise the thread that
    /// acquired counts as the holder: it gets [`Error::WouldDeadlock`] by its other handles, its
    /// signals stay blocked ([`BlockSignals::WhileHeld`]), and
    /// [`ExitHandlers`](crate::ExitHandlers) give the lock back when *it* exits, although the
    /// section goes on elsewhere until the process has ended.
    ///
    /// # Errors
    /// As [`lock`](Self::lock).
    #[inline]
    pub fn acquire(&self) -> Result<()> {
        self.bare(Deadline::Forever)
    }

    /// As [`try_lock`](Self::try_lock), without a guard; says whether the lock was taken.
    ///
    /// # Errors
    /// As [`try_lock`](Self::try_lock).
    pub fn try_acquire(&self) -> Result<bool> {
        self.take(Deadline::None, HoldKind::Unguarded)
    }

    /// As [`try_lock_for`](Self::try_lock_for), without a guard.
    ///
    /// # Errors
    /// As [`try_lock_for`](Self::try_lock_for).
    pub fn try_acquire_for(&self, timeout: Duration) -> Result<()> {
        self.bare(Deadline::For(timeout))
    }

    /// As [`try_lock_until`](Self::try_lock_until), without a guard.
    ///
    /// # Errors
    /// As [`try_lock_until`](Self::try_lock_until).
    pub fn try_acquire_until(&self, deadline: Instant) -> Result<()> {
        self.bare(Deadline::Until(deadline))
    }
}
