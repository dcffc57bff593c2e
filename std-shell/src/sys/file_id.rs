//! Tells whether two descriptors are of one file.

use std::os::fd::BorrowedFd;

use rustix::fs::{Stat, fstat};

/// What shows that two descriptors are of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    // The fields of `stat` have other widths on other targets.
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast, reason = "u32 on some targets")]
    pub(crate) fn of(stat: &Stat) -> Self {
        Self { device: stat.st_dev as u64, inode: stat.st_ino as u64 }
    }

    /// Of an open file. `None` if the kernel will not tell.
    pub(crate) fn of_fd(fd: BorrowedFd<'_>) -> Option<Self> {
        fstat(fd).ok().map(|stat| Self::of(&stat))
    }

    /// Returns `true` if both files are on one file system.
    pub(crate) fn is_on_the_device_of(self, other: Self) -> bool {
        self.device == other.device
    }

    /// The two numbers, for comparison without a type.
    pub(crate) fn numbers(self) -> (u64, u64) {
        (self.device, self.inode)
    }
}
