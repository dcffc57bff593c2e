//! Copies the data of a block into private memory, and out again.

use std::thread::panicking;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::lock::handle::ShmLock;
use crate::tell::tell;

/// Copies the data into `private`. Only the owner calls it.
fn copy_in(lock: &ShmLock, private: &mut (impl FromBytes + IntoBytes)) {
    if let Some(data) = lock.shared.data() {
        data.read_into(private.as_mut_bytes());
    }
}

/// Copies `private` into the data. Only the owner calls it. Does nothing in a forked child.
pub(super) fn copy_out(lock: &ShmLock, private: &(impl IntoBytes + Immutable)) {
    if let Some(data) = lock.shared.data() {
        data.write_from(private.as_bytes());
    }
}

/// The private copy of one hold. Its drop copies the data out, unless a panic unwinds.
pub(super) struct PrivateCopy<'a, T: FromBytes + IntoBytes + Immutable> {
    lock: &'a ShmLock,
    /// The epoch of the hold, see [`Guard`](crate::Guard).
    epoch: u32,
    private: &'a mut T,
    touched: bool,
    /// `true` if a panic was unwinding when the block was locked. Then `panicking` says nothing
    /// about the critical section.
    unwinding: bool,
}

impl<'a, T: FromBytes + IntoBytes + Immutable> PrivateCopy<'a, T> {
    /// Copies the data in. The caller holds the lock.
    #[inline]
    pub(super) fn new(lock: &'a ShmLock, private: &'a mut T) -> Self {
        copy_in(lock, private);
        let epoch = lock.holds.epoch();
        Self { lock, epoch, private, touched: false, unwinding: panicking() }
    }

    pub(super) fn value(&self) -> &T {
        self.private
    }

    /// Returns the copy for changes, which are copied out later.
    pub(super) fn value_mut(&mut self) -> &mut T {
        self.touched = true;
        self.private
    }

    /// Copies the data out if it was touched and this hold still owns the lock.
    pub(super) fn write_back(&mut self) {
        // The word decides: if it does not name us, the data is another owner's. Only an exit
        // handler on this thread can release the lock during the copy, and it does not return here.
        if self.touched && self.epoch == self.lock.holds.epoch() && self.lock.is_held() {
            copy_out(self.lock, self.private);
            self.touched = false;
        }
    }

    /// Ends the copy on request: copies the data out, unless the critical section panicked.
    pub(super) fn finish(mut self) {
        if self.unwinding || !panicking() {
            self.write_back();
        }
        self.touched = false; // the drop does nothing
    }
}

impl<T: FromBytes + IntoBytes + Immutable> Drop for PrivateCopy<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if !panicking() {
            self.write_back();
        } else if self.unwinding && self.touched {
            let lock = self.lock;
            tell!(
                Warn,
                "{lock}: a block that was locked while a panic unwinds was dropped, not released; \
                 it is left as it was"
            );
        }
    }
}
