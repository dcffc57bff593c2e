//! Removes a block or an event whose users all died.
//!
//! The last user that closes removes the file. A killed user could not: the file stays, with data
//! that is no longer valid, or with an event that is still set. The next opener removes it as a
//! closer does, and makes a new one. The DIED flag keeps the file of a block and its data, as it
//! does for closers: the next owner must see them.

use std::os::fd::{AsFd, BorrowedFd};

use crate::layout::header::MADE_OFFSET;
use crate::shm::file::FileSpec;
use crate::shm::file::grow::write_all;
use crate::shm::removal::{UnlinkPolicy, is_write_lock_visible, remove_if_last};
use crate::sys::descriptor::Descriptor;
use crate::sys::fork::ProcessGeneration;

/// Removes the file if no handle is open and the policy allows it. Returns `true` if it is gone:
/// the caller must begin again.
///
/// `a` is a description without presence, `b` another one of the same file. In a sticky directory
/// only the file's owner can remove it. So before that its data is marked as not created, or its
/// event is cleared.
pub(crate) fn clear_away(
    place: &FileSpec,
    policy: UnlinkPolicy,
    birth: ProcessGeneration,
    a: &Descriptor,
    b: &Descriptor,
) -> bool {
    let fd = a.as_fd();
    if !place.is_a_lock(fd) {
        return false; // not ours to change; the next steps of the opening report why
    }
    remove_if_last(place, a, birth, || {
        policy.allows_unlink(fd)
            && is_write_lock_visible(b.as_fd())
            && a.is_itself()
            && reset(fd, policy)
    });
    a.links() == Some(0)
}

/// Marks the data as not created, or clears the event; returns `true`. The caller has the write
/// lock on the presence byte, so no handle sees it.
///
/// A failure, such as a limit on file sizes, does not matter if the file is removed.
fn reset(fd: BorrowedFd<'_>, policy: UnlinkPolicy) -> bool {
    let offset = match policy {
        UnlinkPolicy::Always => 0, // the owner word of an event
        UnlinkPolicy::KeepIfOwnerDied => MADE_OFFSET as u64,
    };
    let _ = write_all(fd, &0_u32.to_le_bytes(), offset);
    true
}
