//! The guard of a [`RegionLock`].

use core::marker::PhantomData;

use super::RegionLock;
use super::hold_count::Hold;
use crate::error::Error;
use crate::fence::{Fence, InnerShareable};

/// Holds the lock until it is dropped.
#[derive(Debug)]
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct RegionGuard<'l, 'a, F: Fence = InnerShareable> {
    lock: &'l RegionLock<'a, F>,
    // Not `Send`: the hold belongs to the contender that took it.
    not_send: PhantomData<*const ()>,
}

impl<'l, 'a, F: Fence> RegionGuard<'l, 'a, F> {
    /// For a hold that has been counted as [`Hold::Guard`].
    #[inline]
    pub(super) fn of_a_hold(lock: &'l RegionLock<'a, F>) -> Self {
        Self { lock, not_send: PhantomData }
    }

    /// Whether an owner died holding the lock, and nobody has declared the data consistent since.
    #[must_use]
    pub fn owner_died(&self) -> bool {
        self.lock.owner_died.get()
    }

    /// See [`RegionLock::declare_consistent`].
    ///
    /// # Errors
    /// [`Error::Overwritten`].
    pub fn declare_consistent(&self) -> Result<(), Error> {
        self.lock.declare_consistent()
    }

    /// A number that grows with every acquisition of this lock by anybody. Hand it to whatever the
    /// lock protects, which can then refuse a late-comer.
    #[must_use]
    pub fn fencing_token(&self) -> u64 {
        self.lock.region.fencing_token()
    }

    /// Gives the lock back, and says whether that went well. Dropping does the same and says
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Overwritten`].
    pub fn release(self) -> Result<(), Error> {
        let lock = self.lock;
        core::mem::forget(self);
        lock.leave(Hold::Guard)
    }
}

impl<F: Fence> Drop for RegionGuard<'_, '_, F> {
    fn drop(&mut self) {
        // An overwritten word is another owner's by now; there is nobody to tell from a drop.
        let _ = self.lock.leave(Hold::Guard);
    }
}
