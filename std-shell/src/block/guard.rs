//! The guard of a block: gives access to the private copy while the lock is held.

use std::fmt;
use std::ops::{Deref, DerefMut};

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::block::copy::PrivateCopy;
use crate::error::Result;
use crate::holder::Recovered;
use crate::lock::guard::Guard;

/// A locked block: derefs to `T` until it is dropped.
///
/// The drop copies the data out, if it was touched, and releases the lock. It never panics and
/// never allocates.
///
/// **If a panic drops the guard, the data is not copied out**: it stays as it was when the block
/// was locked. Nor is it copied out if the lock is lost meanwhile, because an exit handler released
/// it or another program overwrote the owner word: the data is another owner's.
///
/// Its functions are called as `BlockGuard::release(guard)`, because a method would hide one of `T`
/// with the same name.
///
/// # Limits
/// A destructor that runs while a panic unwinds may lock a block. There, the end of the critical
/// section cannot be told from a second panic in it. So a drop does not copy the data out, and logs
/// a warning. Call [`release`](Self::release) there.
#[must_use = "the block is released as soon as the guard is dropped"]
pub struct BlockGuard<'a, T: FromBytes + IntoBytes + Immutable> {
    // First: the data is copied out before the lock is released.
    copy: PrivateCopy<'a, T>,
    guard: Guard<'a>,
}

impl<'a, T: FromBytes + IntoBytes + Immutable> BlockGuard<'a, T> {
    #[inline]
    pub(super) fn new(guard: Guard<'a>, private: &'a mut T) -> Self {
        Self { copy: PrivateCopy::new(guard.lock(), private), guard }
    }

    /// Returns the notice of a dead owner, like [`Guard::recovered`]. Called as
    /// `BlockGuard::recovered(&guard)`.
    ///
    /// If the owner died before it began to copy out, the data is as the owner before it left it.
    /// Otherwise the data is partly new and partly old. Check and repair it, then call
    /// [`declare_consistent`](Self::declare_consistent).
    #[must_use]
    pub fn recovered(this: &Self) -> Option<Recovered> {
        this.guard.recovered()
    }

    /// Copies the repaired data out and declares it consistent, like
    /// [`Guard::declare_consistent`].
    ///
    /// # Errors
    /// Those of [`Guard::declare_consistent`].
    pub fn declare_consistent(this: &mut Self) -> Result<()> {
        this.copy.write_back();
        this.guard.declare_consistent()
    }

    /// Returns the fencing token of this hold, like [`Guard::fencing_token`].
    #[must_use]
    pub fn fencing_token(this: &Self) -> Option<u64> {
        this.guard.fencing_token()
    }

    /// Copies the data out, releases the lock and returns the result. The drop does the same, but
    /// only logs an error.
    ///
    /// A destructor that locked the block while a panic unwinds calls this at the end of its
    /// critical section: then the data is copied out.
    ///
    /// # Errors
    /// Those of [`Guard::release`]. If the lock is lost, the data is not copied out.
    pub fn release(this: Self) -> Result<()> {
        let Self { copy, guard } = this;
        copy.finish();
        guard.release()
    }
}

impl<T: FromBytes + IntoBytes + Immutable> Deref for BlockGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.copy.value()
    }
}

impl<T: FromBytes + IntoBytes + Immutable> DerefMut for BlockGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.copy.value_mut()
    }
}

impl<T: FromBytes + IntoBytes + Immutable + fmt::Debug> fmt::Debug for BlockGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockGuard")
            .field("value", self.copy.value())
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}
