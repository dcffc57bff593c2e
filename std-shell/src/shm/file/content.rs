//! Checks the content of a file: whether it is a lock, which data it has, and whether its creator
//! died before both were written.

use crate::holder::Holder;
use shmlock_core::layout::REGION_LEN;
use shmlock_core::snapshot::snapshot;
use shmlock_core::{FenceScope, Region, RegionMemory};
use std::os::fd::BorrowedFd;

use rustix::fs::{Stat, fstat};
use rustix::io::{Errno, pread, retry_on_intr};
use shmlock_core::layout::{MAGIC, Magic};

use super::{FileSpec, has_many_names};
use crate::error::{Error, NotALockReason, Result};
use crate::layout::header::{BlockLayout, DATA_OFFSET, HEADER_LEN, HEADER_OFFSET, is_made};

/// The offset of the magic word, see `layout.rs` of the core.
pub(super) const MAGIC_OFFSET: usize = 8;

impl FileSpec {
    /// Reads the owner that the word names.
    pub(crate) fn holder(&self, fd: BorrowedFd<'_>, fence: FenceScope) -> Result<Option<Holder>> {
        let copy = self.copy(fd, fence)?;
        let region = Region::new(&copy).map_err(|error| self.not_a_region(error))?;
        Ok(Holder::read(region, fence))
    }

    /// Copies the region, pread(2). An empty file counts as a free lock.
    pub(crate) fn copy(&self, fd: BorrowedFd<'_>, fence: FenceScope) -> Result<RegionMemory> {
        snapshot(fence, || {
            let mut bytes = [0; REGION_LEN];
            match retry_on_intr(|| pread(fd, &mut bytes, 0))
                .map_err(|errno| self.system("read", errno))?
            {
                0 | REGION_LEN => Ok(bytes),
                read => Err(self.not_a_lock(NotALockReason::Size { bytes: read as u64 })),
            }
        })
    }

    /// Refuses a file whose size is neither that of a lock, with or without data, nor that of a
    /// half-made one. If we want data, refuses another layout than ours. `stat` is of the file.
    pub(crate) fn check_size(&self, fd: BorrowedFd<'_>, stat: &Stat) -> Result<()> {
        let bytes = size_in(stat);
        if bytes == 0 {
            return Ok(()); // its creator died before it grew
        }
        let found = self.shape_in(fd, bytes)?;
        let half_made = found == BlockLayout::NONE && bytes == self.shape.file_len();
        if self.shape == BlockLayout::NONE || found == self.shape || half_made {
            return Ok(());
        }
        Err(self.other_block(found))
    }

    pub(crate) fn other_block(&self, found: BlockLayout) -> Error {
        Error::BlockMismatch { path: self.path.clone(), found, wanted: self.shape }
    }

    pub(super) fn size_of(&self, fd: BorrowedFd<'_>) -> Result<u64> {
        size(fd).map_err(|errno| self.system("inspect", errno))
    }

    /// Returns `true` if the file has all its memory already: it has its full length, was claimed
    /// as a lock and, for a block, described.
    pub(super) fn has_memory(&self, fd: BorrowedFd<'_>) -> Result<bool> {
        let (bytes, untouched) =
            (self.size_of(fd)?, is_untouched(fd).map_err(|errno| self.system("read", errno))?);
        let described = self.shape == BlockLayout::NONE
            || BlockLayout::of_bytes(&self.header(fd)?).bytes() != 0;
        Ok(bytes >= self.shape.file_len() && !untouched && described)
    }

    /// Returns `true` if what was read proves that the lock has its memory: a byte that is not zero
    /// is in no hole, and the whole lock is in one block of any file system. Data behind it may
    /// have holes.
    pub(crate) fn is_memory_proven(&self, stat: &Stat, magic: Magic) -> bool {
        self.shape == BlockLayout::NONE
            && magic == Magic::Ours
            && size_in(stat) >= DATA_OFFSET as u64
    }

    /// Returns `true` if the file is a lock or an untouched one, whatever data it has.
    pub(crate) fn is_a_lock(&self, fd: BorrowedFd<'_>) -> bool {
        let is_shaped = |size| size != 0 && self.shape_in(fd, size).is_ok();
        self.size_of(fd).is_ok_and(is_shaped) && self.check_magic(fd).is_ok()
    }

    /// Reads which data a file of this size has. Its header must agree with the size. Without a
    /// layout in the header, the size must be as requested, or the file be ours: its creator
    /// died between growing and describing it.
    ///
    /// Such a block is a lock without data to an opener that wants none, or one of this size. A
    /// block of another size replaces it when no handle is open (`shm/stale_block.rs`).
    fn shape_in(&self, fd: BorrowedFd<'_>, size: u64) -> Result<BlockLayout> {
        if size == DATA_OFFSET as u64 {
            return Ok(BlockLayout::NONE);
        }
        // Read before the length, since it is written after the length: data that is created has a
        // length.
        let is_made = is_made(&self.header(fd)?);
        let shape = BlockLayout::of_bytes(&self.header(fd)?);
        let is_ours = || magic(fd).is_ok_and(|word| Magic::decode(word) == Magic::Ours);
        match size {
            _ if shape.bytes() != 0 && size == shape.file_len() => Ok(shape),
            _ if shape.bytes() != 0 || size < DATA_OFFSET as u64 || is_made => {
                Err(self.not_a_lock(NotALockReason::Size { bytes: size }))
            }
            _ if size == self.shape.file_len() || is_ours() => Ok(BlockLayout::NONE),
            bytes => Err(self.not_a_lock(NotALockReason::Size { bytes })),
        }
    }

    /// Reads the header, pread(2); zero where the file is shorter.
    pub(crate) fn header(&self, fd: BorrowedFd<'_>) -> Result<[u8; HEADER_LEN]> {
        let mut header = [0; HEADER_LEN];
        retry_on_intr(|| pread(fd, &mut header, HEADER_OFFSET as u64))
            .map_err(|errno| self.system("read", errno))?;
        Ok(header)
    }

    /// Refuses a file of the right size with foreign content. This happens before the file is
    /// mapped: a write fault would change its time of modification, and even a failed
    /// compare-and-swap is one.
    ///
    /// Also refuses a file that is no lock yet and has a second name. In a directory such as
    /// `/dev/shm` another user may have linked the lock's name to an empty file of ours, to make us
    /// write to it.
    ///
    /// Returns what the magic says: ours, or untouched.
    pub(crate) fn check_magic(&self, fd: BorrowedFd<'_>) -> Result<Magic> {
        // A shorter file is empty, or was truncated meanwhile; the mapping detects that.
        let word = magic(fd).map_err(|errno| self.system("read", errno))?;
        match Magic::decode(word) {
            Magic::Untouched if has_many_names(fd) => {
                Err(self.not_a_lock(NotALockReason::HardLink))
            }
            magic @ (Magic::Untouched | Magic::Ours) => Ok(magic),
            Magic::OtherVersion(version) => {
                Err(self.not_a_lock(NotALockReason::Version { version }))
            }
            Magic::Foreign => Err(self.not_a_lock(NotALockReason::Magic { word })),
        }
    }
}

/// Returns `true` if no process has claimed the file as a lock, of this layout version or another.
pub(super) fn is_untouched(fd: BorrowedFd<'_>) -> std::result::Result<bool, Errno> {
    magic(fd).map(|word| Magic::decode(word) == Magic::Untouched)
}

/// Returns the bytes of a new lock.
pub(super) fn new_lock() -> [u8; DATA_OFFSET] {
    let mut new = [0; DATA_OFFSET];
    new.iter_mut().skip(MAGIC_OFFSET).zip(MAGIC.to_le_bytes()).for_each(|(to, byte)| *to = byte);
    new
}

/// Returns the length of the file, fstat(2).
pub(super) fn size(fd: BorrowedFd<'_>) -> std::result::Result<u64, Errno> {
    fstat(fd).map(|stat| size_in(&stat))
}

/// Returns the length of the file that fstat(2) described.
pub(super) fn size_in(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// Reads the magic word; zero where the file is shorter.
fn magic(fd: BorrowedFd<'_>) -> std::result::Result<u32, Errno> {
    let mut word = [0; 4];
    retry_on_intr(|| pread(fd, &mut word, MAGIC_OFFSET as u64)).map(|_| u32::from_le_bytes(word))
}
