//! Opens and maps what the caller names, and turns each refusal into an error.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, retry_on_intr};

use super::error::PhysicalError;
use super::memory::{Memory, MemorySource, NotMemory};
use super::range::{BadRange, Extent};
use super::source::check_flag;
use crate::sys::fork;
use crate::sys::fork::ProcessGeneration;
use crate::sys::range_mapping::{Children, RangeMapping};

/// The mount point of sysfs.
pub(super) const SYSFS: &str = "/sys";

/// A descriptor whose memory is to be mapped, with what the caller says of it.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) fd: BorrowedFd<'a>,
    pub(super) path: &'a Path,
    pub(super) source: MemorySource,
    pub(super) memory: Memory,
}

impl Request<'_> {
    /// Maps a range.
    pub(super) fn map(
        self,
        extent: &Extent,
        offset: u64,
        len: usize,
        children: Children,
    ) -> Result<RangeMapping, PhysicalError> {
        let path = || self.path.to_owned();
        if self.source == MemorySource::PciResource && self.memory == Memory::Cached {
            return Err(PhysicalError::NeverCached { path: path() });
        }
        check_flag(self.fd, self.source, self.memory, self.path)?;
        let pages = extent.pages(offset, len).map_err(|bad| match bad {
            BadRange::Empty => PhysicalError::Empty { path: path() },
            BadRange::Misaligned => PhysicalError::Misaligned { path: path(), offset },
            BadRange::BeyondEnd { end } => {
                PhysicalError::BeyondEnd { path: path(), end, size: extent.size }
            }
        })?;
        fork::prepare().map_err(|errno| self.refused("map", errno))?;
        let birth = ProcessGeneration::here();
        RangeMapping::new(self.fd, pages, children, birth)
            .map_err(|(operation, errno)| self.refused(operation, errno))
    }

    pub(super) fn refused(self, operation: &'static str, errno: Errno) -> PhysicalError {
        let (path, source) = (self.path.to_owned(), Some(self.source));
        PhysicalError::System { operation, path, source, errno }
    }
}

/// Opens a device for reading and writing, open(2): uncached memory with `O_SYNC`.
pub(super) fn open_device(path: &Path, memory: Memory) -> Result<OwnedFd, PhysicalError> {
    let mut flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY;
    if memory == Memory::Uncached {
        flags |= OFlags::SYNC;
    }
    retry_on_intr(|| open(path, flags, Mode::empty())).map_err(|errno| {
        let path = path.to_owned();
        match errno {
            Errno::ISDIR => PhysicalError::NotMemory { path, found: NotMemory::Directory },
            _ => PhysicalError::System { operation: "open", path, source: None, errno },
        }
    })
}

/// Returns what to call a descriptor in a message: the path that `/proc` knows, or its number.
pub(super) fn name_of(fd: BorrowedFd<'_>) -> PathBuf {
    let number = fd.as_raw_fd();
    std::fs::read_link(format!("/proc/self/fd/{number}"))
        .unwrap_or_else(|_| PathBuf::from(format!("descriptor {number}")))
}
