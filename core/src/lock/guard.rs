//! Implements the calls of [`RegionLock`] that return a guard, and the guard.

use core::marker::PhantomData;

use super::RegionLock;
use super::disturbed::{Disturbed, Lent};
use super::hold_count::HoldKind;
use crate::contend::{AssumeAlive, Liveness};
use crate::error::Error;
use crate::fence::{Fence, InnerShareable};
use crate::wait::Wait;

/// Holds the lock until it is dropped.
#[derive(Debug)]
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct RegionGuard<'l, 'a, F: Fence = InnerShareable> {
    lock: &'l RegionLock<'a, F>,
    // Not `Send`: the hold belongs to the contender that acquired it.
    not_send: PhantomData<*const ()>,
}

impl<'a, F: Fence> RegionLock<'a, F> {
    /// Acquires the lock if it is free or already held by this handle; `None` otherwise. Never
    /// blocks.
    ///
    /// # Errors
    /// [`Error::NestingTooDeep`]; [`Error::InUse`]; [`Error::Overwritten`] if the handle holds the
    /// lock and the word denies it.
    ///
    /// # Examples
    /// ```
    /// use core::num::NonZeroU16;
    /// use shmlock_core::{Region, RegionLock, RegionMemory};
    ///
    /// static SHARED: RegionMemory = RegionMemory::new();
    ///
    /// let region = Region::from_static(&SHARED)?;
    /// let one = RegionLock::new(region, NonZeroU16::MIN);
    /// let other = RegionLock::new(region, NonZeroU16::MAX);
    ///
    /// let guard = one.try_lock()?;
    /// assert!(guard.is_some() && other.try_lock()?.is_none());
    /// drop(guard);
    /// assert!(other.try_lock()?.is_some());
    /// # Ok::<(), shmlock_core::Error>(())
    /// ```
    #[inline]
    pub fn try_lock(&self) -> Result<Option<RegionGuard<'_, 'a, F>>, Error> {
        match self.enter_undisturbed(HoldKind::Guarded) {
            Ok(()) => Ok(Some(RegionGuard::of_counted_hold(self))),
            Err(disturbed) => self.try_lock_disturbed(disturbed),
        }
    }

    /// Acquires the lock, waiting by `wait`. Every owner is held to be alive.
    ///
    /// Blocks for as long as `wait` does.
    ///
    /// # Errors
    /// [`Error::Busy`] when `wait` gave up; otherwise those of [`try_lock`](Self::try_lock).
    #[inline]
    pub fn lock(&self, wait: &mut (impl Wait + ?Sized)) -> Result<RegionGuard<'_, 'a, F>, Error> {
        self.lock_by(wait, AssumeAlive)
    }

    /// Acquires the lock, waiting by `wait`, or recovers it from an owner that `liveness` proves
    /// dead.
    ///
    /// Blocks for as long as `wait` and `liveness` do.
    ///
    /// # Errors
    /// [`Error::PlainTokens`] if `liveness` judges boots and the static tokens of the region are
    /// plain; otherwise those of [`lock`](Self::lock).
    ///
    /// # Examples
    /// A core that can hold another core in reset, and so can prove that it is dead.
    /// ```
    /// use core::num::NonZeroU16;
    /// use shmlock_core::contend::Liveness;
    /// use shmlock_core::{Region, RegionLock, RegionMemory, Token, wait::Spin};
    ///
    /// static SHARED: RegionMemory = RegionMemory::new();
    /// const SUPERVISOR: NonZeroU16 = NonZeroU16::new(1).unwrap();
    /// const WORKER: NonZeroU16 = NonZeroU16::new(2).unwrap();
    ///
    /// struct WorkerInReset;
    ///
    /// impl Liveness for WorkerInReset {
    ///     fn while_dead<R>(&mut self, owner: Token, act: impl FnOnce() -> R) -> Option<R> {
    ///         // Firmware reads the reset line here, and holds it until `act` has returned.
    ///         (owner == Token::from_static(WORKER)).then(act)
    ///     }
    /// }
    ///
    /// let region = Region::from_static(&SHARED)?;
    /// let worker = RegionLock::new(region, WORKER);
    /// core::mem::forget(worker.try_lock()?); // it is reset in its critical section
    ///
    /// let supervisor = RegionLock::new(region, SUPERVISOR);
    /// let guard = supervisor.lock_or_recover(&mut Spin::attempts(100), &mut WorkerInReset)?;
    /// assert!(guard.owner_died());
    /// // Check the data, repair it, and then:
    /// guard.declare_consistent()?;
    /// # Ok::<(), shmlock_core::Error>(())
    /// ```
    #[inline]
    pub fn lock_or_recover(
        &self,
        wait: &mut (impl Wait + ?Sized),
        liveness: &mut impl Liveness,
    ) -> Result<RegionGuard<'_, 'a, F>, Error> {
        self.check_proof(liveness)?;
        self.lock_by(wait, Lent(liveness))
    }

    #[inline]
    fn lock_by(
        &self,
        wait: &mut (impl Wait + ?Sized),
        liveness: impl Liveness,
    ) -> Result<RegionGuard<'_, 'a, F>, Error> {
        match self.enter_undisturbed(HoldKind::Guarded) {
            Ok(()) => Ok(RegionGuard::of_counted_hold(self)),
            Err(disturbed) => self.lock_disturbed(wait, liveness, disturbed),
        }
    }

    // Each returns what its caller returns, and has its arguments in the same order. So the caller
    // ends with the jump to it, and needs no stack frame.

    #[cold]
    #[inline(never)]
    fn try_lock_disturbed(
        &self,
        disturbed: Disturbed<'a>,
    ) -> Result<Option<RegionGuard<'_, 'a, F>>, Error> {
        let acquired = self.try_enter_disturbed(disturbed, HoldKind::Guarded)?;
        Ok(acquired.then(|| RegionGuard::of_counted_hold(self)))
    }

    #[cold]
    #[inline(never)]
    fn lock_disturbed(
        &self,
        wait: &mut (impl Wait + ?Sized),
        liveness: impl Liveness,
        disturbed: Disturbed<'a>,
    ) -> Result<RegionGuard<'_, 'a, F>, Error> {
        self.enter_or_wait(wait, liveness, disturbed, HoldKind::Guarded)?;
        Ok(RegionGuard::of_counted_hold(self))
    }

    /// Ends a guarded hold by the drop of its guard. An overwritten word may name another owner; a
    /// drop cannot report it.
    #[cold]
    #[inline(never)]
    fn drop_disturbed(&self) {
        let _ = self.leave_disturbed(HoldKind::Guarded);
    }
}

impl<'l, 'a, F: Fence> RegionGuard<'l, 'a, F> {
    /// Returns the guard of a hold that has been counted as [`HoldKind::Guarded`].
    #[inline]
    fn of_counted_hold(lock: &'l RegionLock<'a, F>) -> Self {
        Self { lock, not_send: PhantomData }
    }

    /// Returns `true` if an owner died holding the lock, and the data has not been declared
    /// consistent since.
    #[must_use]
    pub fn owner_died(&self) -> bool {
        self.lock.outcome.get().owner_died
    }

    /// Declares the data consistent, as [`RegionLock::declare_consistent`] does.
    ///
    /// # Errors
    /// [`Error::Overwritten`].
    pub fn declare_consistent(&self) -> Result<(), Error> {
        self.lock.declare_consistent()
    }

    /// Returns a number that grows with every acquisition of this lock by any handle. A resource
    /// that is told the number can refuse a holder that comes too late.
    #[must_use]
    pub fn fencing_token(&self) -> u64 {
        self.lock.region.fencing_token()
    }

    /// Releases the hold, and returns the error that a drop ignores.
    ///
    /// # Errors
    /// [`Error::Overwritten`].
    #[inline]
    pub fn release(self) -> Result<(), Error> {
        let lock = self.lock;
        core::mem::forget(self);
        lock.leave(HoldKind::Guarded)
    }
}

impl<F: Fence> Drop for RegionGuard<'_, '_, F> {
    #[inline]
    fn drop(&mut self) {
        if !self.lock.leave_undisturbed(HoldKind::Guarded) {
            self.lock.drop_disturbed();
        }
    }
}
