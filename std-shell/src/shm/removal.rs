//! Removes the file of a lock when its last user leaves.
//!
//! The leaving handle has dropped its presence. If it gets the write lock on the presence byte, no
//! other handle is open, and none can be opened while it has the byte. The description is pinned
//! meanwhile ([`Pin`](crate::sys::pin::Pin)): it keeps the byte even if other code of this process
//! closes the number. After all checks, immediately before the name is removed, the descriptor must
//! be itself (`sys/descriptor.rs`).
//!
//! *If the descriptor is exchanged in the instant before the byte is locked*, the byte is locked
//! through a stranger's description. Nothing is removed. Nor is anything unlocked: the stranger may
//! be another handle of this lock, whose presence would go with it. Its own read lock is restored
//! instead.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::unlink;
use rustix::io::{pread, retry_on_intr};
use shmlock_core::Word;

use crate::identity::presence;
use crate::layout::lock_bytes::PRESENCE;
use crate::layout::lock_bytes::UNUSED;
use crate::shm::file::{FileSpec, has_one_name, named_by};
use crate::sys::descriptor::Descriptor;
use crate::sys::fork::ProcessGeneration;
use crate::sys::ofd;

/// The content of the owner word that keeps the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnlinkPolicy {
    /// A word that is held, or with the DIED flag: an owner died, and the data has not been
    /// declared consistent since.
    KeepIfOwnerDied,
    /// None: the file is always removed.
    Always,
}

impl UnlinkPolicy {
    /// Returns `true` if the word, read through the file, allows its removal.
    pub(crate) fn allows_unlink(self, fd: BorrowedFd<'_>) -> bool {
        if self == Self::Always {
            return true;
        }
        let mut word = [0; 4];
        match retry_on_intr(|| pread(fd, &mut word, 0)) {
            Ok(4) => Word::from_bits(u32::from_le_bytes(word)).is_free_and_consistent(),
            Ok(read) => read == 0, // still empty: it was never a lock
            Err(_) => false,
        }
    }
}

/// Returns `true` if our write lock on the presence byte is real, as `witness`, another description
/// of the file, sees it. A sandbox that only pretends to lock grants it to every process.
pub(crate) fn is_write_lock_visible(witness: BorrowedFd<'_>) -> bool {
    let seen = |byte| ofd::is_write_locked(witness, byte);
    matches!((seen(PRESENCE), seen(UNUSED)), (Ok(true), Ok(false)))
}

/// What [`remove_if_last`] knows of the descriptor at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastSeen {
    /// It was itself one system call ago.
    Itself,
    /// Nothing.
    Unknown,
}

/// Removes the file if no other handle is open, the file has exactly one name, and the path still
/// leads to it.
///
/// The caller has dropped its presence on the descriptor's description. A failure is harmless: a
/// free lock stays.
///
/// `birth` is the process that opened the descriptor. A signal handler may fork at any step. The
/// child shares the description, so the locks on it are the parent's, and the child changes
/// nothing.
pub(crate) fn remove_if_last(
    place: &FileSpec,
    descriptor: &Descriptor,
    birth: ProcessGeneration,
    may_remove: impl FnOnce() -> bool,
) -> LastSeen {
    let fd = descriptor.as_fd();
    if !(birth.is_here() && descriptor.is_itself()) {
        return LastSeen::Unknown;
    }
    if !presence::lock_if_last(fd) {
        return LastSeen::Itself;
    }
    if !descriptor.is_itself() {
        // Perhaps a stranger's description granted it.
        if birth.is_here() {
            let _ = presence::announce(fd);
        }
        return LastSeen::Unknown;
    }
    // Without memory for a mapping we go on: the byte is lost only if the number is closed between
    // the last check and the removal.
    let pin = descriptor.pin(birth);
    let may_remove = has_one_name(fd) && may_remove() && named_by(fd, &place.path);
    if may_remove && descriptor.is_itself() && birth.is_here() {
        // In a sticky directory only the file's owner can remove it.
        let _ = retry_on_intr(|| unlink(&place.path));
    }
    drop(pin);
    // If the number was closed meanwhile, the byte went with it: the stranger's bytes are
    // unchanged.
    if birth.is_here() && descriptor.is_itself() {
        // Closing does the same, unless a process that was forked meanwhile has a copy of the
        // descriptor.
        let _ = presence::withdraw(fd);
        return LastSeen::Itself;
    }
    LastSeen::Unknown
}

#[cfg(test)]
mod tests {
    #![allow(unsafe_code, reason = "exchanges a descriptor")]

    use std::fs::{self, File};
    use std::os::fd::{AsFd, AsRawFd};
    use std::path::Path;
    use std::{env, process};

    use super::remove_if_last;
    use crate::layout::lock_bytes::PRESENCE;
    use crate::name::{Name, SUFFIX};
    use crate::shm::file::FileSpec;
    use crate::sys::descriptor::{Descriptor, Role};
    use crate::sys::fork::ProcessGeneration;
    use crate::sys::ofd::{self, Kind};

    fn description(path: &Path) -> File {
        File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .expect("a file")
    }

    /// The stranger is the description of another thread that closes another lock, or one without
    /// locks.
    #[test]
    fn a_number_exchanged_during_the_checks_leaves_the_strangers_locks_unchanged() {
        let directory = env::temp_dir().join(format!("shmlock-removal-{}", process::id()));
        fs::create_dir(&directory).expect("a new directory");
        let place = FileSpec::new(&Name::new("l").expect("a name"), SUFFIX, &directory, 0o600)
            .expect("absolute");
        for is_closing in [false, true] {
            let other = directory.join("other");
            let (stranger, seen) = (description(&other), description(&other));
            if is_closing {
                assert!(ofd::try_lock(stranger.as_fd(), Kind::Write, PRESENCE).expect("granted"));
            }
            let ours = Descriptor::new(description(&place.path).into())
                .and_then(|ours| ours.with_role(Role::Probe));
            let ours = ours.expect("a regular file");
            remove_if_last(&place, &ours, ProcessGeneration::here(), || {
                // SAFETY: dup2(2) with two numbers; the exchanged one is the descriptor's own.
                assert!(unsafe { libc::dup2(stranger.as_raw_fd(), ours.as_fd().as_raw_fd()) } >= 0);
                true
            });
            assert!(place.path.exists(), "removed through an exchanged number");
            assert_eq!(
                ofd::is_write_locked(seen.as_fd(), PRESENCE).expect("seen"),
                is_closing,
                "its lock is unchanged"
            );
            assert_eq!(
                ofd::is_locked(seen.as_fd(), PRESENCE).expect("seen"),
                is_closing,
                "its lock is unchanged"
            );
            // SAFETY: the descriptor does not close it, since it is not itself; no other code uses
            // the number.
            unsafe { libc::close(ours.as_fd().as_raw_fd()) };
        }
        fs::remove_dir_all(&directory).expect("ours");
    }
}
