//! Identifies a file by its device and inode numbers.

use std::os::fd::BorrowedFd;

use rustix::fs::{Stat, fstat};

/// Device and inode: equal for two descriptors of the same file.
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

    /// Returns the id of an open file, fstat(2); `None` if that fails.
    pub(crate) fn of_fd(fd: BorrowedFd<'_>) -> Option<Self> {
        fstat(fd).ok().map(|stat| Self::of(&stat))
    }

    /// Returns `true` if both files are on one file system.
    pub(crate) fn is_on_the_device_of(self, other: Self) -> bool {
        self.device == other.device
    }

    /// Returns device and inode.
    pub(crate) fn numbers(self) -> (u64, u64) {
        (self.device, self.inode)
    }
}
