//! Defines the errors of memory that is shared with other processors. Each names the thing, and
//! says what to do.

use std::fmt;
use std::path::PathBuf;

use rustix::io::Errno;

use super::memory::{Memory, MemorySource, NotMemory};
use crate::error::display::Shown;

/// Why memory cannot be used for a lock.
///
/// The display text is one line: the [`message`](Self::message) says what failed and on what; the
/// [`hint`](Self::hint) says what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PhysicalError {
    /// A system call failed.
    System {
        /// The operation that failed, as a phrase: "open", "map".
        operation: &'static str,
        /// The device or file.
        path: PathBuf,
        /// The kind of memory, if it was known already.
        source: Option<MemorySource>,
        /// The system's reason.
        errno: Errno,
    },
    /// The file is no memory that parties can share.
    NotMemory {
        /// The device or file.
        path: PathBuf,
        /// The kind of file.
        found: NotMemory,
    },
    /// The UIO device has no memory of this number.
    NoSuchMap {
        /// The device.
        path: PathBuf,
        /// The number: the offset in pages.
        map: u64,
    },
    /// A file of sysfs holds something other than a number.
    BadAttribute {
        /// The file.
        path: PathBuf,
    },
    /// The range has no bytes.
    Empty {
        /// The device or file.
        path: PathBuf,
    },
    /// The range does not begin at a multiple of four bytes.
    Misaligned {
        /// The device or file.
        path: PathBuf,
        /// The offset of the range in bytes.
        offset: u64,
    },
    /// The range ends beyond the memory. An access there would be a `SIGBUS`.
    BeyondEnd {
        /// The device or file.
        path: PathBuf,
        /// The first byte behind the range; the largest number if there is none.
        end: u64,
        /// The bytes of the memory, if known.
        size: Option<u64>,
    },
    /// The caller says that memory of PCI is cached. It never is.
    NeverCached {
        /// The file.
        path: PathBuf,
    },
    /// The descriptor's flag `O_SYNC` contradicts the caller. The flag decides whether the mapping
    /// is cached.
    OtherFlag {
        /// The device.
        path: PathBuf,
        /// What the caller says.
        memory: Memory,
    },
    /// The word lock was asked for on uncached memory, where exclusives may not work.
    Uncached {
        /// The device or file.
        path: PathBuf,
    },
    /// The memory holds something other than a free or used lock, or is too short for one; or the
    /// ticket lock has no such party.
    Region {
        /// The device or file.
        path: PathBuf,
        /// The reason of the core.
        reason: shmlock_core::Error,
    },
}

impl PhysicalError {
    /// Returns what happened, and to what, on one line.
    #[must_use]
    pub fn message(&self) -> impl fmt::Display + '_ {
        Message(self)
    }

    /// Returns the errno of the system call that failed, if one did.
    #[must_use]
    pub const fn errno(&self) -> Option<Errno> {
        match self {
            Self::System { errno, .. } => Some(*errno),
            _ => None,
        }
    }
}

struct Message<'a>(&'a PhysicalError);

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            PhysicalError::System { operation, path, errno, .. } => {
                write!(f, "cannot {operation} {path}: {errno}", path = Shown(path))
            }
            PhysicalError::NotMemory { path, found } => {
                let found = match found {
                    NotMemory::Directory => "a directory",
                    NotMemory::Channel => "a pipe or a socket",
                    NotMemory::BlockDevice => "a block device",
                    NotMemory::Zero => "/dev/zero, whose mappings share nothing",
                    NotMemory::DmaHeap => "a dma-heap, which is no buffer itself",
                    NotMemory::UDmaBufMaker => "the maker of dma-bufs, which is no buffer itself",
                    NotMemory::Attribute => "a file of sysfs without memory",
                };
                write!(f, "{path} is no memory to share: it is {found}", path = Shown(path))
            }
            PhysicalError::NoSuchMap { path, map } => {
                write!(f, "the UIO device {path} has no memory map{map}", path = Shown(path))
            }
            PhysicalError::BadAttribute { path } => {
                write!(f, "{path} holds no number", path = Shown(path))
            }
            PhysicalError::Empty { path } => {
                write!(f, "the range in {path} is empty", path = Shown(path))
            }
            PhysicalError::Misaligned { path, offset } => {
                write!(
                    f,
                    "the offset {offset:#x} in {path} is no multiple of 4",
                    path = Shown(path)
                )
            }
            PhysicalError::BeyondEnd { path, end, size: Some(size) } => {
                write!(
                    f,
                    "the range in {path} ends at {end:#x}, and the memory at {size:#x}",
                    path = Shown(path)
                )
            }
            PhysicalError::BeyondEnd { path, size: None, .. } => {
                write!(f, "the range in {path} ends beyond the address space", path = Shown(path))
            }
            PhysicalError::NeverCached { path } => {
                write!(f, "the PCI resource {path} is never cached", path = Shown(path))
            }
            PhysicalError::OtherFlag { path, memory: Memory::Cached } => {
                write!(
                    f,
                    "the descriptor of {path} has O_SYNC, so its mapping is not cached",
                    path = Shown(path)
                )
            }
            PhysicalError::OtherFlag { path, memory: Memory::Uncached } => {
                write!(
                    f,
                    "the descriptor of {path} lacks O_SYNC, so its mapping is cached",
                    path = Shown(path)
                )
            }
            PhysicalError::Uncached { path } => {
                write!(
                    f,
                    "exclusives may not work in {path}, which is uncached",
                    path = Shown(path)
                )
            }
            PhysicalError::Region { path, reason } => {
                write!(f, "{path}: {reason}", path = Shown(path))
            }
        }
    }
}

impl fmt::Display for PhysicalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message())?;
        self.hint().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl std::error::Error for PhysicalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::System { errno, .. } => Some(errno),
            Self::Region { reason, .. } => Some(reason),
            _ => None,
        }
    }
}
