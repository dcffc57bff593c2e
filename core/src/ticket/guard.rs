//! Implements the calls of [`TicketLock`] that return a guard, and the guard.

use core::marker::PhantomData;

use super::TicketLock;
use crate::contend::{AssumeAlive, Liveness};
use crate::error::Error;
use crate::fence::{Fence, InnerShareable};
use crate::lock::hold_count::HoldKind;
use crate::wait::{Spin, Wait};

/// Holds the lock until it is dropped.
#[derive(Debug)]
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct TicketGuard<'l, 'a, const N: usize, F: Fence = InnerShareable> {
    lock: &'l TicketLock<'a, N, F>,
    // Not `Send`: the hold belongs to the contender that acquired it.
    not_send: PhantomData<*const ()>,
}

impl<'a, const N: usize, F: Fence> TicketLock<'a, N, F> {
    /// Acquires the lock if it is free or already held by this handle; `None` otherwise. Never
    /// blocks.
    ///
    /// `None` also if another party is about to acquire the lock, or tries to: two that try at once
    /// may both fail. Each failed try makes parties that come at the same moment look twice.
    ///
    /// # Errors
    /// [`Error::NestingTooDeep`]; [`Error::InUse`].
    ///
    /// # Examples
    /// ```
    /// use core::num::NonZeroU16;
    /// use shmlock_core::{TicketLock, TicketMemory, TicketRegion};
    ///
    /// static SHARED: TicketMemory<2> = TicketMemory::new();
    ///
    /// let region = TicketRegion::from_static(&SHARED)?;
    /// let one = TicketLock::new(region, NonZeroU16::MIN)?;
    /// let other = TicketLock::new(region, NonZeroU16::new(2).unwrap())?;
    ///
    /// let guard = one.try_lock()?;
    /// assert!(guard.is_some() && other.try_lock()?.is_none());
    /// drop(guard);
    /// assert!(other.try_lock()?.is_some());
    /// # Ok::<(), shmlock_core::Error>(())
    /// ```
    pub fn try_lock(&self) -> Result<Option<TicketGuard<'_, 'a, N, F>>, Error> {
        let acquired = self.try_acquire_as(HoldKind::Guarded)?;
        Ok(acquired.then(|| TicketGuard::of_counted_hold(self)))
    }

    pub(super) fn try_acquire_as(&self, kind: HoldKind) -> Result<bool, Error> {
        match self.acquire_as(kind, &mut Spin::attempts(0), &mut AssumeAlive) {
            Ok(()) => Ok(true),
            Err(Error::Busy { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Acquires the lock, waiting by `wait`. Every party is held to be alive, except those that
    /// were [buried](super::TicketRegion::bury).
    ///
    /// Blocks for as long as `wait` does, which is asked once for each failed look at a party in
    /// the way.
    ///
    /// # Errors
    /// [`Error::Busy`] when `wait` gave up; it names the party in the way. Otherwise those of
    /// [`try_lock`](Self::try_lock).
    pub fn lock(
        &self,
        wait: &mut (impl Wait + ?Sized),
    ) -> Result<TicketGuard<'_, 'a, N, F>, Error> {
        self.lock_or_recover(wait, &mut AssumeAlive)
    }

    /// Acquires the lock, waiting by `wait`, and passes the parties that `liveness` proves dead: it
    /// is asked for the party in the way, by its number as a static token. The proof may end with
    /// the call of [`while_dead`](Liveness::while_dead).
    ///
    /// Blocks for as long as `wait` and `liveness` do.
    ///
    /// # Errors
    /// Those of [`lock`](Self::lock).
    ///
    /// # Examples
    /// ```
    /// use core::num::NonZeroU16;
    /// use shmlock_core::contend::Liveness;
    /// use shmlock_core::{TicketLock, TicketMemory, TicketRegion, Token, wait::Spin};
    ///
    /// static SHARED: TicketMemory<2> = TicketMemory::new();
    /// const SUPERVISOR: NonZeroU16 = NonZeroU16::new(1).unwrap();
    /// const WORKER: NonZeroU16 = NonZeroU16::new(2).unwrap();
    ///
    /// struct WorkerInReset;
    ///
    /// impl Liveness for WorkerInReset {
    ///     fn while_dead<R>(&mut self, owner: Token, act: impl FnOnce() -> R) -> Option<R> {
    ///         // Firmware reads the reset line here.
    ///         (owner == Token::from_static(WORKER)).then(act)
    ///     }
    /// }
    ///
    /// let region = TicketRegion::from_static(&SHARED)?;
    /// let worker = TicketLock::new(region, WORKER)?;
    /// core::mem::forget(worker.try_lock()?); // it is reset in its critical section
    ///
    /// let supervisor = TicketLock::new(region, SUPERVISOR)?;
    /// let guard = supervisor.lock_or_recover(&mut Spin::attempts(100), &mut WorkerInReset)?;
    /// assert!(guard.owner_died());
    /// // Check the data, repair it, and then:
    /// guard.declare_consistent()?;
    /// # Ok::<(), shmlock_core::Error>(())
    /// ```
    pub fn lock_or_recover(
        &self,
        wait: &mut (impl Wait + ?Sized),
        liveness: &mut impl Liveness,
    ) -> Result<TicketGuard<'_, 'a, N, F>, Error> {
        self.acquire_as(HoldKind::Guarded, wait, liveness)?;
        Ok(TicketGuard::of_counted_hold(self))
    }
}

impl<'l, 'a, const N: usize, F: Fence> TicketGuard<'l, 'a, N, F> {
    /// Returns the guard of a hold that has been counted as [`HoldKind::Guarded`].
    fn of_counted_hold(lock: &'l TicketLock<'a, N, F>) -> Self {
        Self { lock, not_send: PhantomData }
    }

    /// Returns `true` if an owner died holding the lock, and the data has not been declared
    /// consistent since. It reads a word of each party.
    #[must_use]
    pub fn owner_died(&self) -> bool {
        self.lock.owner_died()
    }

    /// Declares the data consistent, as [`TicketLock::declare_consistent`] does.
    ///
    /// # Errors
    /// None while the guard lives.
    pub fn declare_consistent(&self) -> Result<(), Error> {
        self.lock.declare_consistent()
    }

    /// Returns a number that grows with every acquisition of this lock by any handle. A resource
    /// that is told the number can refuse a holder that comes too late.
    #[must_use]
    pub fn fencing_token(&self) -> u64 {
        self.lock.us.region.shared().fencing_token()
    }

    /// Releases the hold.
    ///
    /// # Errors
    /// None while the guard lives.
    pub fn release(self) -> Result<(), Error> {
        let lock = self.lock;
        core::mem::forget(self);
        lock.leave(HoldKind::Guarded)
    }
}

impl<const N: usize, F: Fence> Drop for TicketGuard<'_, '_, N, F> {
    fn drop(&mut self) {
        // A hold that its guard keeps: nothing can fail.
        let _ = self.lock.leave(HoldKind::Guarded);
    }
}
