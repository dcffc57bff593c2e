//! Announces an open handle, and finds out whether it is the last one.
//!
//! Each handle holds a *read* lock on the presence byte for as long as its mapping lives. A closer
//! drops its read lock first, and then tries to get the *write* lock. If that is granted, no other
//! handle is open, and none can be opened while the closer has it.
//!
//! The other order, upgrade and then unlink, is wrong: of two handles that close at once each would
//! keep the other from the write lock, and the file would stay.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use crate::layout::lock_bytes::PRESENCE;
use crate::sys::ofd::{self, Kind};

/// Announces a handle. Returns `false` if another process is about to remove the file.
pub(crate) fn announce(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    ofd::try_lock(fd, Kind::Read, PRESENCE)
}

/// Drops any lock of this description on the presence byte.
pub(crate) fn withdraw(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    ofd::unlock(fd, PRESENCE)
}

/// Locks the presence byte for writing, and returns `true` if it was granted: no other handle is
/// open. None can be opened until the lock is dropped.
pub(crate) fn lock_if_last(fd: BorrowedFd<'_>) -> bool {
    // A failure counts as "not the last": a file that stays is harmless, a file removed under an
    // open handle is not.
    ofd::try_lock(fd, Kind::Write, PRESENCE).unwrap_or(false)
}
