//! Maps a lock's region for reading: its owner word, and nothing else of it.
//!
//! The watch thread reads and wakes the word through a mapping of its own: that of a handle goes
//! with the handle.

#![allow(unsafe_code, reason = "mmap, madvise and munmap work on raw addresses")]

use std::os::fd::BorrowedFd;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::AtomicU32;

use rustix::io::{Errno, retry_on_intr};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};
use shmlock_core::layout::REGION_LEN;

use crate::sys::fork::ProcessGeneration;
use crate::sys::fork_gate::NoForkGuard;

/// A shared, read-only mapping of a region; unmapped on drop.
///
/// # Invariant
///
/// `address` is the start of a shared, readable mapping of [`REGION_LEN`] bytes that we made. Only
/// the drop unmaps it.
#[derive(Debug)]
pub(crate) struct Window {
    address: NonNull<AtomicU32>,
    /// The process that made it.
    birth: ProcessGeneration,
}

impl Window {
    /// Maps the region at the beginning of the file, mmap(2), and not for children, madvise(2).
    ///
    /// The mapping refers to the description of `fd` and keeps its byte locks.
    pub(crate) fn new(fd: BorrowedFd<'_>) -> Result<Self, Errno> {
        let birth = ProcessGeneration::here();
        let _no_fork = NoForkGuard::begin(); // a child with the mapping would keep the byte locks
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let address = retry_on_intr(|| unsafe {
            mmap(null_mut(), REGION_LEN, ProtFlags::READ, MapFlags::SHARED, fd, 0)
        })?;
        let window = Self { address: NonNull::new(address.cast()).ok_or(Errno::FAULT)?, birth };
        // SAFETY: the mapping is ours; no child has the thread that uses it.
        retry_on_intr(|| unsafe { madvise(address, REGION_LEN, Advice::LinuxDontFork) })?;
        Ok(window)
    }

    /// Returns the owner word. No code may write to it.
    pub(crate) fn owner_word(&self) -> &AtomicU32 {
        // SAFETY:
        // - mapped, readable and aligned to a page: the invariant, for as long as the borrow.
        // - accessed by relaxed loads only, which need no write access. Other processes may write
        //   what they like; that appears as other values.
        // - not truncated: as in `shm/mapping.rs`.
        unsafe { self.address.as_ref() }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        if !self.birth.is_here() {
            return; // a forked child: not inherited, and the address may be in use
        }
        // SAFETY: ours by the invariant, and there is no borrow.
        let _ = unsafe { munmap(self.address.as_ptr().cast(), REGION_LEN) };
    }
}
