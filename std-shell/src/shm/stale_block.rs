//! Ends a former life of a block or an event whose users are all gone, however they went.
//!
//! The user that closes as the last one removes the file. A user that was killed could not: then
//! the file lies there, with data that nobody counts on any more, or an event that is still set.
//! The next opener clears it away, in the same manner as a closer, and begins a new one. A crash
//! mark keeps the file of a block and its data, as it does from closers: the next owner is to see
//! them.

use std::os::fd::{AsFd, BorrowedFd};

use crate::layout::header::MADE_OFFSET;
use crate::shm::file::FileSpec;
use crate::shm::file::grow::write_all;
use crate::shm::removal::{UnlinkPolicy, is_really_alone, remove_if_last};
use crate::sys::descriptor::Descriptor;
use crate::sys::fork::ProcessGeneration;

/// Removes the file if nobody is here and it may go. Returns `true` if it is gone, and the caller
/// is to start again.
///
/// `a` is a description without presence, and `b` another one of the same file. Where the file
/// cannot be removed (in a sticky directory, by another than its owner), its data is declared not
/// created, and an event is cleared.
pub(crate) fn clear_away(
    place: &FileSpec,
    keep: UnlinkPolicy,
    birth: ProcessGeneration,
    a: &Descriptor,
    b: &Descriptor,
) -> bool {
    let fd = a.as_fd();
    if !place.is_a_lock(fd) {
        return false; // not ours to touch; the steps that follow find out why not
    }
    remove_if_last(place, a, birth, || {
        keep.may_go(fd) && is_really_alone(b.as_fd()) && a.is_itself() && forget(fd, keep)
    });
    a.links() == Some(0)
}

/// Says that the data has not been created, or that the event is clear. Under the write lock of
/// presence: nobody else looks.
///
/// A failure (a limit on file sizes) does not keep the file from being removed, which says the
/// same.
fn forget(fd: BorrowedFd<'_>, keep: UnlinkPolicy) -> bool {
    let offset = match keep {
        UnlinkPolicy::Always => 0, // the word of an event
        UnlinkPolicy::KeepIfOwnerDied => MADE_OFFSET as u64,
    };
    let _ = write_all(fd, &0_u32.to_le_bytes(), offset);
    true
}
