//! Creates the file of a lock, so that other processes see it whole or not at all.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, OFlags, fstat, linkat, openat};
use rustix::io::{Errno, retry_on_intr};

use crate::error::Result;
use crate::identity::presence;
use crate::shm::file::{FileSpec, is_empty};
use crate::shm::removal::remove_if_last;
use crate::sys::descriptor::Descriptor;
use crate::sys::fork::ProcessGeneration;

impl FileSpec {
    /// Creates the file, announces this handle on it, and then gives it its name. So no process
    /// sees it half made, and a failure leaves nothing. `None`: begin again; another process made
    /// the file, or it exists but is empty.
    ///
    /// The file is nameless at first, open(2) `O_TMPFILE`. If that or its linking is refused, an
    /// empty file is created under the name.
    pub(crate) fn create(&self) -> Result<Option<OwnedFd>> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let Ok(fd) = retry_on_intr(|| openat(CWD, &self.directory, flags, self.mode_bits())) else {
            return self.create_empty();
        };
        self.set_mode(fd.as_fd())?;
        // A file that other processes would refuse is not made: one whose owner has no id here, or
        // on a file system without modes.
        self.judge_made(fd.as_fd())?;
        if !self.allocate(fd.as_fd())? {
            return Ok(None);
        }
        #[cfg(feature = "block")]
        self.describe(fd.as_fd())?;
        if !presence::announce(fd.as_fd()).map_err(|errno| self.no_byte_locks(errno))? {
            return Ok(None); // no other process knows the file: another file has answered
        }
        match self.link(fd.as_fd()) {
            Ok(()) => Ok(Some(fd)),
            Err(Errno::EXIST) => Ok(None),
            Err(_) => self.create_empty(),
        }
    }

    /// Judges a file that we have made, as another opener would.
    fn judge_made(&self, fd: BorrowedFd<'_>) -> Result<()> {
        let stat = fstat(fd).map_err(|errno| self.system("inspect", errno))?;
        self.judge(fd, &stat)
    }

    /// Gives a nameless file its name, linkat(2). Without privilege by descriptor since Linux 6.10,
    /// otherwise through `/proc`.
    fn link(&self, fd: BorrowedFd<'_>) -> std::result::Result<(), Errno> {
        let by_descriptor = retry_on_intr(|| linkat(fd, "", CWD, &self.path, AtFlags::EMPTY_PATH));
        if matches!(by_descriptor, Ok(()) | Err(Errno::EXIST)) {
            return by_descriptor;
        }
        let proc = format!("/proc/self/fd/{}", fd.as_raw_fd());
        retry_on_intr(|| linkat(CWD, &*proc, CWD, &self.path, AtFlags::SYMLINK_FOLLOW))
    }

    /// Creates an empty file, which the next opener fills: if a nameless file cannot be made or
    /// linked.
    ///
    /// *If we die here:* the empty file stays. An opener treats it as absent.
    fn create_empty(&self) -> Result<Option<OwnedFd>> {
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match retry_on_intr(|| openat(CWD, &self.path, flags, self.mode_bits())) {
            Ok(fd) => {
                let made = Descriptor::new(fd).map_err(|errno| self.system("inspect", errno))?;
                let fd = made.as_fd();
                self.set_mode(fd).and_then(|()| self.judge_made(fd)).inspect_err(|_| {
                    remove_if_last(self, &made, ProcessGeneration::here(), || is_empty(fd));
                })?;
                Ok(None)
            }
            Err(Errno::EXIST) => Ok(None),
            Err(errno) => Err(self.system("create", errno)),
        }
    }
}
