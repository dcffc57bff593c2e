//! Removes the file of a lock when its last user leaves.
//!
//! The user that leaves has given its presence up. If it gets the presence byte for itself, nobody
//! else is here, and nobody can arrive while it has the byte. To keep the byte whatever other code
//! in this process does to the descriptor, its description is mapped meanwhile
//! ([`Pin`](crate::shm::mapping::Pin)); and the descriptor must be itself (`descriptor.rs`) after
//! all has been looked at, immediately before the name is removed.
//!
//! *If the descriptor is exchanged in the instant before the byte is asked for*, the byte is locked
//! through a stranger's description. Nothing is removed. Nor is anything unlocked: the stranger may
//! be another handle of this lock, whose presence would go with it. Its own read lock is put back
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

/// When does the word's content keep the file?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnlinkPolicy {
    /// A word that is not clean: an owner died, and nobody has declared the data consistent since.
    KeepIfOwnerDied,
    /// Nothing does.
    Always,
}

impl UnlinkPolicy {
    /// Returns `true` if the word, read through the file, lets the file go.
    pub(crate) fn may_go(self, fd: BorrowedFd<'_>) -> bool {
        if self == Self::Always {
            return true;
        }
        let mut word = [0; 4];
        match retry_on_intr(|| pread(fd, &mut word, 0)) {
            Ok(4) => Word::from_bits(u32::from_le_bytes(word)).is_free_and_consistent(),
            Ok(read) => read == 0, // still empty: never was a lock
            Err(_) => false,
        }
    }
}

/// Returns `true` if the write lock of presence is one, as another description of the file sees it:
/// a sandbox that only pretends to lock grants it to everybody.
pub(crate) fn is_really_alone(witness: BorrowedFd<'_>) -> bool {
    let seen = |byte| ofd::is_write_locked(witness, byte);
    matches!((seen(PRESENCE), seen(UNUSED)), (Ok(true), Ok(false)))
}

/// Removes the file if nobody else is here, it still has its name, and the name is still its.
///
/// The descriptor's description must have given its presence up. Failing is no harm: a free lock
/// stays.
///
/// `birth` is the process that the descriptor was opened in. A signal handler may fork at any step:
/// the child shares the description, so what is locked through it is the parent's, and the child
/// leaves all as it is.
pub(crate) fn remove_if_last(
    place: &FileSpec,
    descriptor: &Descriptor,
    birth: ProcessGeneration,
    may_go: impl FnOnce() -> bool,
) {
    let fd = descriptor.as_fd();
    if !(birth.is_here() && descriptor.is_itself() && presence::is_last(fd)) {
        return;
    }
    if !descriptor.is_itself() {
        // Granted by a stranger's description, perhaps.
        if birth.is_here() {
            let _ = presence::announce(fd);
        }
        return;
    }
    // Without memory for a mapping the byte could go only with the number, between the last look
    // and the removal.
    let pin = descriptor.pin(birth);
    let may_go = has_one_name(fd) && may_go() && named_by(fd, &place.path);
    if may_go && descriptor.is_itself() && birth.is_here() {
        // In a sticky directory only the file's owner can remove it.
        let _ = retry_on_intr(|| unlink(&place.path));
    }
    drop(pin);
    // If the number has gone since the byte was granted, the byte went with it: the stranger's
    // bytes are as they were.
    if birth.is_here() && descriptor.is_itself() {
        // Closing does the same, unless a process that was forked meanwhile has a copy of the
        // descriptor.
        let _ = presence::withdraw(fd);
    }
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

    /// The stranger is the description of another thread that closes another lock, or holds
    /// nothing.
    #[test]
    fn a_number_that_is_exchanged_while_its_file_is_looked_at_has_the_strangers_bytes_as_they_were()
    {
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
                // SAFETY: dup2(2) with two numbers; what is exchanged is the descriptor's own.
                assert!(unsafe { libc::dup2(stranger.as_raw_fd(), ours.as_fd().as_raw_fd()) } >= 0);
                true
            });
            assert!(place.path.exists(), "removed through a number that is not itself");
            assert_eq!(
                ofd::is_write_locked(seen.as_fd(), PRESENCE).expect("seen"),
                is_closing,
                "locked as before"
            );
            assert_eq!(
                ofd::is_locked(seen.as_fd(), PRESENCE).expect("seen"),
                is_closing,
                "locked as before"
            );
            // SAFETY: the descriptor does not close what is not itself; nobody else uses the
            // number.
            unsafe { libc::close(ours.as_fd().as_raw_fd()) };
        }
        fs::remove_dir_all(&directory).expect("ours");
    }
}
