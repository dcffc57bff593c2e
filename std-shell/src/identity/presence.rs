//! Who is here, and who is the last to leave.
//!
//! Every handle holds a *read* lock on byte 2^30 of the region's file for as long as its mapping
//! lives. Whoever closes gives that up first and then tries for the *write* lock: it gets it only
//! if nobody else is here, and nobody can arrive while it has it. (The other order, upgrade and
//! then unlink, leaves the file behind when two close at once: each stands in the other's way.)

use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use crate::layout::lock_bytes::PRESENCE;
use crate::sys::ofd::{self, Kind};

/// Announces a handle; `false` if somebody is just about to remove the file.
pub(crate) fn announce(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    ofd::try_lock(fd, Kind::Read, PRESENCE)
}

/// Takes back what [`announce`] said through the same description.
pub(crate) fn withdraw(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    ofd::unlock(fd, PRESENCE)
}

/// Whether nobody else is here. If so, nobody can arrive until `fd`'s description is closed.
pub(crate) fn is_last(fd: BorrowedFd<'_>) -> bool {
    // In doubt somebody is here: a file left behind is harmless, a file removed under somebody is
    // not.
    ofd::try_lock(fd, Kind::Write, PRESENCE).unwrap_or(false)
}
