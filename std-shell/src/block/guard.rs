//! A hold on a block for as long as a value lives, and the private copy that it refers to.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::thread::panicking;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::error::Result;
use crate::guard::{Guard, Recovered};
use crate::lock::ShmLock;

/// A locked block: `T`, to be read and changed until the guard is dropped.
///
/// Dropping it copies the data out, if it was touched, and gives the lock back. **A guard that is dropped by a panic
/// copies nothing out**: the data stays as it was when it was locked. Dropping never panics and never allocates.
#[must_use = "the block is given back as soon as the guard is dropped"]
pub struct BlockGuard<'a, T: FromBytes + IntoBytes + Immutable> {
    // First: the data is copied out before the lock is given back.
    copy: Copied<'a, T>,
    guard: Guard<'a>,
}

/// The private copy; its drop copies it out.
struct Copied<'a, T: FromBytes + IntoBytes + Immutable> {
    lock: &'a ShmLock,
    private: &'a mut T,
    touched: bool,
    /// Whether the thread was unwinding already when it locked: then the section itself has not panicked.
    unwinding: bool,
}

impl<'a, T: FromBytes + IntoBytes + Immutable> BlockGuard<'a, T> {
    #[inline]
    pub(super) fn new(guard: Guard<'a>, private: &'a mut T) -> Self {
        let lock = guard.lock();
        lock.read_data(private);
        Self { copy: Copied { lock, private, touched: false, unwinding: panicking() }, guard }
    }

    /// See [`Guard::recovered`]. If the owner died before it began to copy out, the data is as the owner before it left it;
    /// otherwise some of it is new and some old. Look at it, mend it, and call
    /// [`declare_consistent`](Self::declare_consistent).
    #[must_use]
    pub fn recovered(&self) -> Option<Recovered> {
        self.guard.recovered()
    }

    /// See [`Guard::declare_consistent`]. What was mended is copied out first.
    ///
    /// # Errors
    /// As [`Guard::declare_consistent`].
    pub fn declare_consistent(&mut self) -> Result<()> {
        self.copy.out();
        self.guard.declare_consistent()
    }

    /// See [`Guard::fencing_token`].
    #[must_use]
    pub fn fencing_token(&self) -> u64 {
        self.guard.fencing_token()
    }

    /// Copies the data out and gives the lock back, and says whether that went well. Dropping does the same and only logs.
    ///
    /// # Errors
    /// As [`Guard::release`].
    pub fn release(self) -> Result<()> {
        let Self { copy, guard } = self;
        drop(copy);
        guard.release()
    }
}

impl<T: FromBytes + IntoBytes + Immutable> Copied<'_, T> {
    fn out(&mut self) {
        if self.touched && self.lock.is_held() {
            self.lock.write_data(self.private);
            self.touched = false;
        }
    }
}

impl<T: FromBytes + IntoBytes + Immutable> Drop for Copied<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.unwinding || !panicking() {
            self.out();
        }
    }
}

impl<T: FromBytes + IntoBytes + Immutable> Deref for BlockGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.copy.private
    }
}

impl<T: FromBytes + IntoBytes + Immutable> DerefMut for BlockGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.copy.touched = true;
        self.copy.private
    }
}

impl<T: FromBytes + IntoBytes + Immutable + fmt::Debug> fmt::Debug for BlockGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockGuard")
            .field("value", &self.copy.private)
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}
