//! A hold on a block for as long as a value lives, and the private copy that it refers to.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::thread::panicking;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::error::Result;
use crate::holder::Recovered;
use crate::lock::guard::Guard;
use crate::lock::handle::ShmLock;
use crate::tell::tell;

/// A locked block: `T`, to be read and changed until the guard is dropped.
///
/// Dropping it copies the data out, if it was touched, and gives the lock back. **A guard that is
/// dropped by a panic copies nothing out**: the data stays as it was when it was locked. Dropping
/// never panics and never allocates.
///
/// A destructor that runs while a panic unwinds may lock a block. There a drop at the end of the
/// critical section cannot be told from a drop by a second panic in it. So the drop copies nothing
/// out, and logs a warning: call [`release`](Self::release) there.
///
/// If the lock was lost meanwhile (an exit handler has released it, or a stranger has overwritten
/// the owner word), nothing is copied out either: the data is another owner's.
#[must_use = "the block is given back as soon as the guard is dropped"]
pub struct BlockGuard<'a, T: FromBytes + IntoBytes + Immutable> {
    // First: the data is copied out before the lock is given back.
    copy: Copied<'a, T>,
    guard: Guard<'a>,
}

/// The private copy; its drop copies it out.
struct Copied<'a, T: FromBytes + IntoBytes + Immutable> {
    lock: &'a ShmLock,
    /// Of the hold, see [`Guard`].
    epoch: u32,
    private: &'a mut T,
    touched: bool,
    /// Whether the thread was unwinding already when it locked: then that it unwinds says nothing
    /// of the critical section.
    unwinding: bool,
}

impl<'a, T: FromBytes + IntoBytes + Immutable> BlockGuard<'a, T> {
    #[inline]
    pub(super) fn new(guard: Guard<'a>, private: &'a mut T) -> Self {
        let lock = guard.lock();
        lock.read_data(private);
        let epoch = lock.holds.epoch();
        Self {
            copy: Copied { lock, epoch, private, touched: false, unwinding: panicking() },
            guard,
        }
    }

    /// See [`Guard::recovered`]. If the owner died before it began to copy out, the data is as the
    /// owner before it left it; otherwise some of it is new and some old. Look at it, mend it, and
    /// call [`declare_consistent`](Self::declare_consistent).
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

    /// Copies the data out and gives the lock back, and says whether that went well. Dropping does
    /// the same and only logs.
    ///
    /// Called by a destructor while a panic unwinds, it copies the data out if the block was locked
    /// since: it says that the critical section has come to its end.
    ///
    /// # Errors
    /// As [`Guard::release`]. If the lock was lost, nothing is copied out.
    pub fn release(self) -> Result<()> {
        let Self { mut copy, guard } = self;
        if copy.unwinding || !panicking() {
            copy.out();
        }
        copy.touched = false;
        drop(copy);
        guard.release()
    }
}

impl<T: FromBytes + IntoBytes + Immutable> Copied<'_, T> {
    fn out(&mut self) {
        // The word decides: without it the data is another owner's. Nobody can take it from us
        // while we copy, but an exit handler on this very thread, which does not come back here.
        if self.touched && self.epoch == self.lock.holds.epoch() && self.lock.is_held() {
            self.lock.write_data(self.private);
            self.touched = false;
        }
    }
}

impl<T: FromBytes + IntoBytes + Immutable> Drop for Copied<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if !panicking() {
            self.out();
        } else if self.unwinding && self.touched {
            let lock = self.lock;
            tell!(
                Warn,
                "{lock}: a block that was locked while a panic unwinds was dropped, not released; it is left as it was"
            );
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
