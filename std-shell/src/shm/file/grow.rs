//! Grows a file to its length and allocates its memory.

use std::os::fd::BorrowedFd;

use rustix::fs::{FallocateFlags, fallocate, ftruncate};
use rustix::io::{Errno, pwrite};
use rustix::process::{Resource, getrlimit};

use super::content::{is_untouched, new_lock, size};
use super::{FileSpec, is_nameless};
use crate::error::Result;
use crate::identity::presence;
#[cfg(feature = "block")]
use crate::layout::header::HEADER_OFFSET;
use crate::layout::header::{BlockLayout, DATA_OFFSET};
use crate::layout::lock_bytes::PRESENCE;
use crate::shm::mapping::Mapping;
use crate::sys::file_size_limit::undisturbed;
use crate::sys::fork::ProcessGeneration;
use crate::sys::ofd::{self, Kind};

/// The bytes that one call allocates; signals are blocked meanwhile. Arbitrary: a power of two far
/// above the size of a page.
const PIECE: u64 = 1 << 20;

/// The zeros that one call writes if fallocate(2) is refused. Arbitrary: sixteen pages.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

impl FileSpec {
    /// Grows the file to its length and allocates its memory: on a full tmpfs even a *read* of a
    /// hole raises SIGBUS. `false`: another handle is open, which must be alone or gone first;
    /// begin again.
    ///
    /// It uses fallocate(2), which never shrinks a file and keeps its content: two processes may
    /// call it at once, and on a lock in use. If that is refused or not supported, it writes zeros.
    ///
    /// *If we die here:* the file has its old length or its final one.
    pub(crate) fn allocate(&self, fd: BorrowedFd<'_>) -> Result<bool> {
        let len = self.shape.file_len();
        self.check_limit(fd, len)?;
        match self.claim_first(fd).and_then(|()| allocate(fd, len)) {
            Ok(()) => Ok(true),
            // These are results, not refusals: writing would fail in the same way.
            Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG | Errno::IO)) => {
                Err(self.system(self.allocating(), errno))
            }
            Err(_) => self.fill(fd, len),
        }
    }

    fn allocating(&self) -> &'static str {
        match self.shape {
            BlockLayout::NONE => "allocate 192 bytes for",
            _ => "allocate the block of",
        }
    }

    /// Refuses a length beyond the limit on file sizes. The kernel would also raise a signal
    /// (`sys/file_size_limit.rs`).
    fn check_limit(&self, fd: BorrowedFd<'_>, len: u64) -> Result<()> {
        match getrlimit(Resource::Fsize).current {
            Some(limit) if limit < len && self.size_of(fd)? < len => {
                Err(self.system(self.allocating(), Errno::FBIG))
            }
            _ => Ok(()),
        }
    }

    /// Writes our magic into an empty file with a name, before it grows to the length of a block.
    ///
    /// Otherwise a death between growing and describing would leave a file that cannot be
    /// recognised: too long for a lock, and without our magic.
    fn claim_first(&self, fd: BorrowedFd<'_>) -> std::result::Result<(), Errno> {
        if self.shape != BlockLayout::NONE && !is_nameless(fd) && size(fd)? == 0 {
            allocate(fd, DATA_OFFSET as u64)?;
            let mapping = Mapping::new(fd, DATA_OFFSET as u64, ProcessGeneration::here())?;
            mapping.populate()?;
            mapping.claim(); // a foreign magic is refused when the file is mapped
        }
        Ok(())
    }

    /// Grows the file by writing zeros, pwrite(2): for systems without fallocate(2).
    ///
    /// Under the write lock on the presence byte, as a closer: the zeros would wipe out a lock that
    /// is in use. A file that was claimed as a lock, or described as a block, has its memory and is
    /// left alone.
    ///
    /// *If we die here:* the kernel drops the byte lock. The next opener finds a file of the old
    /// length, a lock without data, or a block without a layout, and writes again.
    fn fill(&self, fd: BorrowedFd<'_>, len: u64) -> Result<bool> {
        if self.has_memory(fd)? {
            return Ok(true);
        }
        if is_nameless(fd) {
            return self.write_zeros(fd, len).map(|()| true); // no other process has it open yet
        }
        if !ofd::try_lock(fd, Kind::Write, PRESENCE).map_err(|errno| self.no_byte_locks(errno))? {
            return Ok(false);
        }
        let filled = match self.has_memory(fd) {
            Ok(true) => Ok(()),
            Ok(false) => self.write_zeros(fd, len),
            Err(error) => Err(error),
        };
        let present = presence::announce(fd).map_err(|errno| self.no_byte_locks(errno))?;
        filled.map(|()| present)
    }

    /// Writes the region with its magic if it has none, and then zeros from the end down to it. The
    /// second write gives the file its final length. On failure the file has its old length.
    fn write_zeros(&self, fd: BorrowedFd<'_>, len: u64) -> Result<()> {
        let before = self.size_of(fd)?;
        let written = Self::write_region(fd).and_then(|()| {
            let step = ZEROS.len() as u64;
            let mut end = len;
            while end > DATA_OFFSET as u64 {
                let start = ((end - 1) / step * step).max(DATA_OFFSET as u64);
                let zeros = usize::try_from(end - start).ok().and_then(|count| ZEROS.get(..count));
                write_all(fd, zeros.unwrap_or(&ZEROS), start)?;
                end = start;
            }
            Ok(())
        });
        written.map_err(|errno| {
            let _ = ftruncate(fd, before.min(len)); // no other handle is open
            self.system(self.allocating(), errno)
        })
    }

    /// Writes the region and the header of a new lock, unless the file is claimed already.
    fn write_region(fd: BorrowedFd<'_>) -> std::result::Result<(), Errno> {
        if !is_untouched(fd)? {
            return Ok(());
        }
        write_all(fd, &new_lock(), 0)
    }

    /// Writes the layout of the data into a file that has no name yet.
    #[cfg(feature = "block")]
    pub(crate) fn describe(&self, fd: BorrowedFd<'_>) -> Result<()> {
        if self.shape == BlockLayout::NONE {
            return Ok(());
        }
        write_all(fd, &self.shape.to_bytes(), HEADER_OFFSET as u64)
            .map_err(|errno| self.system("describe the block of", errno))
    }
}

/// Allocates the bytes up to `len` in pieces, fallocate(2). Only the last piece makes the file
/// longer: no process sees it half grown.
fn allocate(fd: BorrowedFd<'_>, len: u64) -> std::result::Result<(), Errno> {
    let last = len.saturating_sub(1) / PIECE * PIECE;
    let mut offset = 0;
    while offset < last {
        undisturbed(|| fallocate(fd, FallocateFlags::KEEP_SIZE, offset, PIECE))?;
        offset += PIECE;
    }
    undisturbed(|| fallocate(fd, FallocateFlags::empty(), last, len - last))
}

/// Writes all the bytes at this offset, pwrite(2).
pub(crate) fn write_all(
    fd: BorrowedFd<'_>,
    mut bytes: &[u8],
    mut offset: u64,
) -> std::result::Result<(), Errno> {
    while !bytes.is_empty() {
        match undisturbed(|| pwrite(fd, bytes, offset))? {
            0 => return Err(Errno::IO),
            written => {
                bytes = bytes.get(written..).unwrap_or_default();
                offset += written as u64;
            }
        }
    }
    Ok(())
}
