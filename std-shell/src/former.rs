//! A block whose users are all gone is over, however they went.
//!
//! Who closes as the last one removes the file. Whoever was killed could not: then the file lies there with data that
//! nobody counts on any more. The next who opens it as a block clears it away, in the same manner as a closer, and begins
//! a new one. A crash mark keeps the file and its data, as it does from closers: the next owner is to see them.

use std::os::fd::{AsFd, BorrowedFd};

use crate::file::{Place, is_nameless, write_all};
use crate::header::MADE_OFFSET;
use crate::ofd;
use crate::presence::PRESENCE;
use crate::shm::UNUSED;

/// Removes the file if nobody is here and it may go; whether it is gone, and the caller is to start again.
///
/// Where the file cannot be removed (in a sticky directory, by another than its owner) its data is declared not created.
pub(crate) fn clear_away(place: &Place, fd: BorrowedFd<'_>, may_go: impl FnOnce() -> bool) -> bool {
    if !place.is_a_lock(fd) {
        return false; // not ours to touch; why not is found out by whoever goes on
    }
    place.remove_if_last(fd, || may_go() && is_really_alone(place) && forget(fd));
    is_nameless(fd)
}

/// Whether the write lock that says so is one: a sandbox that only pretends to lock grants it to everybody, and then it
/// is not there to be seen.
fn is_really_alone(place: &Place) -> bool {
    let Ok(Some(other)) = place.open() else { return false };
    let seen = |byte| ofd::is_write_locked(other.as_fd(), byte);
    matches!((seen(PRESENCE), seen(UNUSED)), (Ok(true), Ok(false)))
}

/// Says that the data has not been created. Under the write lock of presence: nobody else looks.
///
/// A failure (a limit on file sizes) does not keep the file from being removed, which says the same.
fn forget(fd: BorrowedFd<'_>) -> bool {
    let _ = write_all(fd, &0_u32.to_le_bytes(), MADE_OFFSET as u64);
    true
}
