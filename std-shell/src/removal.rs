//! Removes the file of a lock when its last user leaves.
//!
//! The user that leaves has given its presence up. If it gets the presence byte for itself, nobody else is here, and nobody
//! can arrive while it has the byte. To keep the byte whatever other code in this process does to the descriptor, its
//! description is mapped meanwhile ([`Pin`](crate::mapping::Pin)); and the descriptor must be itself (`descriptor.rs`) after
//! all has been looked at, immediately before the name is removed.
//!
//! *If the descriptor is exchanged in the instant before the byte is asked for*, the byte is locked through a stranger's
//! description. Nothing is removed. Nor is anything unlocked: the stranger may be another handle of this lock, whose
//! presence would go with it. Its own read lock is put back instead.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::unlink;
use rustix::io::{pread, retry_on_intr};
use shmlock_core::Word;

use crate::descriptor::Descriptor;
use crate::file::{Place, has_one_name, named_by};
use crate::fork::Birth;
use crate::ofd;
use crate::presence::{self, PRESENCE};
use crate::shm::UNUSED;

/// When does the word's content keep the file?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// A word that is not clean: somebody died holding the lock, and nobody has declared the data consistent since.
    Marked,
    /// Nothing does.
    Nothing,
}

impl Keep {
    /// Returns `true` if the word, read through the file, lets the file go.
    pub(crate) fn may_go(self, fd: BorrowedFd<'_>) -> bool {
        if self == Self::Nothing {
            return true;
        }
        let mut word = [0; 4];
        match retry_on_intr(|| pread(fd, &mut word, 0)) {
            Ok(4) => Word::from_bits(u32::from_le_bytes(word)).is_clean(),
            Ok(read) => read == 0, // still empty: never was a lock
            Err(_) => false,
        }
    }
}

/// Returns `true` if the write lock of presence is one, as another description of the file sees it: a sandbox that only
/// pretends to lock grants it to everybody.
pub(crate) fn is_really_alone(witness: BorrowedFd<'_>) -> bool {
    let seen = |byte| ofd::is_write_locked(witness, byte);
    matches!((seen(PRESENCE), seen(UNUSED)), (Ok(true), Ok(false)))
}

/// Removes the file if nobody else is here, it still has its name, and the name is still its.
///
/// The descriptor's description must have given its presence up. Failing is no harm: a free lock stays.
///
/// `birth` is the process that the descriptor was opened in. A signal handler may fork at any step: the child shares the
/// description, so what is locked through it is the parent's, and the child leaves all as it is.
pub(crate) fn remove_if_last(place: &Place, descriptor: &Descriptor, birth: Birth, may_go: impl FnOnce() -> bool) {
    let fd = descriptor.as_fd();
    if !(birth.is_here() && descriptor.is_itself() && presence::is_last(fd)) {
        return;
    }
    // Without memory for a mapping the byte could go only with the number, between the last look and the removal.
    let pin = descriptor.pin(birth);
    let may_go = has_one_name(fd) && may_go() && named_by(fd, &place.path);
    if may_go && descriptor.is_itself() && birth.is_here() {
        // In a sticky directory only the file's owner can remove it.
        let _ = retry_on_intr(|| unlink(&place.path));
    }
    drop(pin);
    if !birth.is_here() {
        return;
    }
    if descriptor.is_itself() {
        // Closing does the same, unless a process that was forked meanwhile has a copy of the descriptor.
        let _ = presence::withdraw(fd);
    } else {
        let _ = presence::announce(fd);
    }
}
