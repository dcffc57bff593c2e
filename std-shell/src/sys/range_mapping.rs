//! Maps a range of a device or of a file, shared, readable and writable: mmap(2).

#![allow(unsafe_code, reason = "mmap, madvise and munmap work on raw addresses")]

use std::os::fd::BorrowedFd;
use std::ptr::{NonNull, null_mut};

use rustix::io::{Errno, retry_on_intr};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

use crate::sys::fork::ProcessGeneration;

/// The pages that hold a range of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pages {
    /// The offset of the first page in the file: a multiple of the page size.
    pub(crate) first: u64,
    /// The bytes from there to the beginning of the range.
    pub(crate) lead: usize,
    /// The bytes of the range.
    pub(crate) len: usize,
    /// The bytes of all pages: a multiple of the page size, at least `lead` and `len` together.
    pub(crate) mapped: usize,
}

/// Whether a child of fork(2) has the mapping as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Children {
    /// It has.
    Inherit,
    /// It has not, `MADV_DONTFORK`: an access there is a plain `SIGSEGV`.
    Lack,
}

/// A shared mapping; unmapped on drop.
///
/// # Invariants
///
/// 1. `start` is the start of a shared, readable and writable mapping of `pages.mapped` bytes that
///    we made.
/// 2. Only the drop unmaps it.
#[derive(Debug)]
pub(crate) struct RangeMapping {
    start: NonNull<u8>,
    pages: Pages,
    children: Children,
    /// The process that made it.
    birth: ProcessGeneration,
}

// SAFETY: a mapping belongs to the process, not to a thread; this type accesses no byte of it.
unsafe impl Send for RangeMapping {}
// SAFETY: as above.
unsafe impl Sync for RangeMapping {}

impl RangeMapping {
    /// Maps the pages. Accesses none of them. An error says which operation failed.
    pub(crate) fn new(
        fd: BorrowedFd<'_>,
        pages: Pages,
        children: Children,
        birth: ProcessGeneration,
    ) -> Result<Self, (&'static str, Errno)> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let start = retry_on_intr(|| unsafe {
            mmap(null_mut(), pages.mapped, protection, MapFlags::SHARED, fd, pages.first)
        })
        .map_err(|errno| ("map", errno))?;
        let mapping = Self {
            start: NonNull::new(start.cast()).ok_or(("map", Errno::FAULT))?,
            pages,
            children,
            birth,
        };
        if children == Children::Lack {
            // SAFETY: the mapping is ours, and its user is told that children lack it.
            retry_on_intr(|| unsafe { madvise(start, pages.mapped, Advice::LinuxDontFork) })
                .map_err(|errno| ("keep from children", errno))?;
        }
        Ok(mapping)
    }

    /// Populates the pages of a file, so that no later access faults for lack of memory or by a
    /// file that was truncated before: `EFAULT` instead of `SIGBUS`.
    ///
    /// Nothing is checked on Linux before 5.14, nor for the pages of a device, which the kernel
    /// refuses to populate (`EINVAL` for `VM_PFNMAP`, madvise(2)).
    pub(crate) fn populate(&self) -> Result<(), Errno> {
        // SAFETY: prefaulting changes no content; the range is ours by invariant 1.
        match retry_on_intr(|| unsafe {
            madvise(self.start.as_ptr().cast(), self.pages.mapped, Advice::LinuxPopulateWrite)
        }) {
            // The errors of this advice. Any other means that it is not supported here.
            Err(errno @ (Errno::FAULT | Errno::NOMEM | Errno::HWPOISON)) => Err(errno),
            Err(_) | Ok(()) => Ok(()),
        }
    }

    /// Returns the address of the range. It is mapped until the drop, in this process.
    pub(crate) fn address(&self) -> NonNull<u8> {
        // SAFETY: inside the mapping: `lead` and `len` together are at most `mapped`.
        unsafe { self.start.add(self.pages.lead) }
    }

    /// Returns the bytes of the range.
    pub(crate) fn len(&self) -> usize {
        self.pages.len
    }
}

impl Drop for RangeMapping {
    fn drop(&mut self) {
        if self.children == Children::Lack && !self.birth.is_here() {
            // A forked child: not inherited, and the address may be in use.
            return;
        }
        // SAFETY: ours by invariant 1, still mapped by 2; unused, for all users borrow this value
        // or promise to be done before.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.pages.mapped) };
    }
}

#[cfg(test)]
impl RangeMapping {
    /// Takes away the right to access the pages: each access is a `SIGSEGV`.
    pub(crate) fn forbid(&self) {
        use rustix::mm::{MprotectFlags, mprotect};
        // SAFETY: no reference to the pages exists; the caller means to see the fault.
        unsafe { mprotect(self.start.as_ptr().cast(), self.pages.mapped, MprotectFlags::empty()) }
            .expect("our own mapping");
    }
}
