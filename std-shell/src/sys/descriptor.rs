//! Keeps a descriptor and tells whether its number still refers to what was opened.
//!
//! Other code in this process may close a descriptor of ours: a `closefrom(3)`, a double
//! `close(2)`. The kernel then assigns the number to the next file that is opened: `/dev/null`, a
//! socket, another lock, another handle's description of the same file. A byte lock that is queried
//! through such a number proves nothing. A byte lock that is dropped through it may be another
//! handle's identity.
//!
//! Each open file description has a position, which nothing here reads or writes by. So the
//! position serves as a *mark*. Each descriptor gets a mark of its own. It is **itself** while
//! `fstat(2)` returns the inode that it was opened for and `lseek(2)` returns its mark. A number
//! that was closed never refers to its old description again. Therefore a descriptor that is itself
//! *after* a system call was itself during the call: this makes a proof.
//!
//! *What remains:* between the check and the next system call on the number another thread may
//! still exchange it. That call then locks, queries or unlocks a byte on a stranger's description.
//! The check afterwards keeps every proof true. `shm/removal.rs`, `shm/death_proof.rs` and
//! `lock/lifeline.rs` say what such a call leaves behind.
//!
//! For the same reason no `OwnedFd` closes a descriptor in its drop: with debug assertions that
//! drop aborts the process if the number is closed already.

#![allow(unsafe_code, reason = "a descriptor that is no longer ours must not be closed")]

use std::mem::{ManuallyDrop, forget};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use rustix::fs::{SeekFrom, Stat, fstat, seek};
use rustix::io::Errno;

use crate::sys::clock::BootInstant;
use crate::sys::file_id::FileId;
use crate::sys::fork::ProcessGeneration;
use crate::sys::pin::Pin;

/// The use of a descriptor, which determines the range of its mark. The ranges do not overlap: no
/// descriptor that holds an identity is taken for one that holds no lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Holds the byte locks of an identity, or will.
    Identity,
    /// Holds no byte lock at rest.
    Probe,
}

/// The first mark of each role; it has as many. All marks are valid positions on every file system:
/// at most 2 GiB.
const IDENTITIES: u32 = 1 << 29;
const PROBES: u32 = 1 << 30;

impl Role {
    /// Returns a mark that no other descriptor of this process has, nor any that it inherited by
    /// fork.
    ///
    /// After exec(3) the program does not know which marks it has inherited: it begins at the
    /// clock.
    fn next_mark(self) -> u64 {
        static LAST: AtomicU32 = AtomicU32::new(0);
        // Partner: the same swap on another thread; the first one counts. Relaxed, as below.
        if LAST.load(Relaxed) == 0 {
            let begin = BootInstant::now().since_boot().subsec_nanos() | 1;
            let _ = LAST.compare_exchange(0, begin, Relaxed, Relaxed);
        }
        let first = match self {
            Self::Identity => IDENTITIES,
            Self::Probe => PROBES,
        };
        // Partner: the same addition on another thread. Relaxed: the numbers only have to differ.
        u64::from(first + LAST.fetch_add(1, Relaxed) % first)
    }
}

/// A descriptor that is closed, and that proves anything, only while it is itself.
#[derive(Debug)]
pub(crate) struct Descriptor {
    fd: ManuallyDrop<OwnedFd>,
    identity: FileId,
    /// The position that only this description has; `None` before it has a role.
    mark: Option<u64>,
    /// The number is not ours any more.
    closed: bool,
}

impl Descriptor {
    /// Wraps a descriptor that was just opened, of any kind of file. fstat(2).
    pub(crate) fn new(fd: OwnedFd) -> Result<Self, Errno> {
        Self::with_stat(fd).map(|(descriptor, _)| descriptor)
    }

    /// Wraps a descriptor that was just opened, and returns what fstat(2) says of its file.
    pub(crate) fn with_stat(fd: OwnedFd) -> Result<(Self, Stat), Errno> {
        match fstat(&fd) {
            Ok(stat) => Ok((Self::of(fd, FileId::of(&stat), None), stat)),
            Err(errno) => {
                forget(fd); // the number is closed, or not ours
                Err(errno)
            }
        }
    }

    fn of(fd: OwnedFd, identity: FileId, mark: Option<u64>) -> Self {
        Self { fd: ManuallyDrop::new(fd), identity, mark, closed: false }
    }

    /// Sets the role of a regular file's descriptor, and a mark. lseek(2).
    pub(crate) fn with_role(mut self, role: Role) -> Result<Self, Errno> {
        let mark = role.next_mark();
        seek(self.as_fd(), SeekFrom::Start(mark))?;
        self.mark = Some(mark);
        Ok(self)
    }

    /// Duplicates the descriptor, close-on-exec. fcntl(2), `F_DUPFD_CLOEXEC`.
    pub(crate) fn duplicate(&self) -> Result<Self, Errno> {
        let fd = rustix::io::fcntl_dupfd_cloexec(self.as_fd(), 0)?;
        Ok(Self::of(fd, self.identity, self.mark))
    }

    /// Closes the descriptor, which the caller has seen to be itself at most one system call ago.
    /// close(2).
    pub(crate) fn close_as_seen(&mut self) {
        if !std::mem::replace(&mut self.closed, true) {
            // Not by rustix, whose `close` panics like std's if the number was closed in this very
            // instant. SAFETY: the number is ours, and from here on `closed` keeps the drop from
            // using it.
            unsafe { libc::close(self.fd.as_raw_fd()) };
        }
    }

    /// Returns the file that it was opened for.
    pub(crate) fn identity(&self) -> FileId {
        self.identity
    }

    /// Returns `true` if the number refers to the description that it was opened for.
    /// Async-signal-safe; two system calls.
    pub(crate) fn is_itself(&self) -> bool {
        self.links().is_some()
    }

    /// Sets the mark again on a description that is known to be ours and whose position other
    /// processes have moved. lseek(2).
    pub(crate) fn mark_again(&self) {
        if let Some(mark) = self.mark {
            let _ = seek(self.as_fd(), SeekFrom::Start(mark)); // if it fails, it stays open
        }
    }

    /// Returns the link count of the file; `None` if the descriptor is not itself.
    /// Async-signal-safe; two system calls.
    pub(crate) fn links(&self) -> Option<u64> {
        let stat = fstat(self.as_fd()).ok()?;
        // The inode first: `seek` on another file system may wait for a reader.
        let is_itself = FileId::of(&stat) == self.identity
            && self.mark.is_none_or(|mark| seek(self.as_fd(), SeekFrom::Current(0)) == Ok(mark));
        #[allow(clippy::useless_conversion, reason = "another width on some targets")]
        is_itself.then_some(u64::from(stat.st_nlink))
    }

    /// Keeps the description and its byte locks until the result is dropped, even if the number is
    /// closed. `birth` is the process that opened it.
    pub(crate) fn pin(&self, birth: ProcessGeneration) -> Result<Pin, Errno> {
        Pin::new(self.as_fd(), birth)
    }
}

impl AsFd for Descriptor {
    /// Returns the number, which may refer to another file.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        if !self.closed && self.is_itself() {
            self.close_as_seen();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::{AsFd, AsRawFd, OwnedFd};

    use rustix::fs::{MemfdFlags, memfd_create};
    use rustix::io::dup2;

    use super::{Descriptor, Role};

    fn memfd() -> OwnedFd {
        memfd_create("descriptor", MemfdFlags::CLOEXEC).expect("a memfd")
    }

    fn marked(fd: OwnedFd, role: Role) -> Descriptor {
        Descriptor::new(fd)
            .and_then(|descriptor| descriptor.with_role(role))
            .expect("a regular file")
    }

    /// Makes the number refer to another file, as a stray `close` and the next `open` do.
    fn exchange(descriptor: &Descriptor, other: impl AsFd) {
        let mut number = std::mem::ManuallyDrop::new(
            rustix::io::fcntl_dupfd_cloexec(descriptor.as_fd(), 0).expect("a descriptor"),
        );
        // SAFETY: the number is the descriptor's own; it is not closed here, only exchanged.
        *number = unsafe { std::os::fd::FromRawFd::from_raw_fd(descriptor.as_fd().as_raw_fd()) };
        dup2(other, &mut number).expect("dup2");
    }

    #[test]
    fn a_descriptor_whose_number_refers_to_another_file_is_not_itself_and_is_not_closed() {
        let file = memfd();
        let again = || {
            File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).expect("a second description")
        };
        let others: [OwnedFd; 3] =
            [memfd(), File::open("/dev/null").expect("it is there").into(), again().into()];
        for other in others {
            let descriptor = marked(again().into(), Role::Probe);
            assert_eq!(descriptor.links(), Some(0), "a memfd has no name");
            exchange(&descriptor, &other);
            assert!(!descriptor.is_itself());
            let number = descriptor.as_fd().as_raw_fd();
            drop(descriptor);
            assert!(
                std::path::Path::new(&format!("/proc/self/fd/{number}")).exists(),
                "another's descriptor was closed"
            );
        }
    }

    #[test]
    fn only_duplicates_have_the_same_mark() {
        let file = memfd();
        let open = || {
            OwnedFd::from(
                File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).expect("another"),
            )
        };
        let one = marked(open(), Role::Probe);
        let copy = one.duplicate().expect("a descriptor");
        let two = marked(open(), Role::Probe);
        let three = marked(open(), Role::Identity);
        assert_eq!(one.mark, copy.mark);
        assert!(one.mark != two.mark && two.mark != three.mark && one.mark != three.mark);
        assert!([one, copy, two, three].iter().all(Descriptor::is_itself));
    }
}
