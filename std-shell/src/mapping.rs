//! The region in our address space.
//!
//! The mapping is also what **pins our identity**: it holds a reference to the open file description whose byte locks
//! are our presence and our token, after the descriptor itself is closed. So these locks live exactly as long as this
//! mapping of this address space. They are in no descriptor table and, through `MADV_DONTFORK`, in no child: a child
//! with the mapping would vouch for its dead parent. (A handle that is asked to keeps a descriptor, too: `lifeline.rs`.)

#![allow(unsafe_code, reason = "mmap, madvise and munmap work on raw addresses")]

use std::os::fd::BorrowedFd;
use std::ptr::{NonNull, null_mut};

use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};
use shmlock_core::Region;
use shmlock_core::layout::REGION_LEN;

/// A shared mapping of one region; unmapped on drop.
///
/// # Invariants
///
/// 1. `address` is the start of a shared, readable and writable mapping of [`REGION_LEN`] bytes that we made.
/// 2. Nobody but the drop unmaps it.
#[derive(Debug)]
pub(crate) struct Mapping {
    address: NonNull<u8>,
}

// SAFETY: a mapping belongs to the process, not to a thread; the address is used only to make a `Region`, which
// accesses it by atomics, and to unmap it when nobody else has the value.
unsafe impl Send for Mapping {}
// SAFETY: as above; `&Mapping` offers nothing but a `Region`.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the file, mmap(2). Children do not inherit it, madvise(2).
    pub(crate) fn new(fd: BorrowedFd<'_>) -> Result<Self, Errno> {
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let address =
            unsafe { mmap(null_mut(), REGION_LEN, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, fd, 0)? };
        let mapping = Self { address: NonNull::new(address.cast()).ok_or(Errno::FAULT)? };
        // SAFETY: the mapping is ours, and that children lack it is a fact they check for (fork.rs).
        unsafe { madvise(address, REGION_LEN, Advice::LinuxDontFork)? };
        Ok(mapping)
    }

    /// Makes sure that the bytes are really there, so that a later access cannot fault: a file truncated in the
    /// meantime answers here by `EFAULT` instead of `SIGBUS`. Linux before 5.14 cannot tell; then nothing is checked.
    pub(crate) fn populate(&self) -> Result<(), Errno> {
        // SAFETY: prefaulting changes no content; the range is ours by invariant 1.
        match unsafe { madvise(self.address.as_ptr().cast(), REGION_LEN, Advice::LinuxPopulateWrite) } {
            Err(Errno::INVAL) | Ok(()) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// The region, checked and claimed.
    ///
    /// # Safety
    ///
    /// The region and its copies are not used after this mapping is dropped.
    pub(crate) unsafe fn region(&self) -> Result<Region<'static>, shmlock_core::Error> {
        // SAFETY:
        // - mapped, readable, writable: invariant 1; for as long as it is used: promised by the caller.
        // - accessed by 32-bit atomics only: this process has no other pointer to it. Other processes may do as they
        //   like with their own mapping; from here that looks like other values, which is allowed.
        // - not truncated: cannot be prevented on tmpfs against a peer with write access; the kernel answers by SIGBUS,
        //   which ends the process. Documented as a limit.
        unsafe { Region::from_raw(self.address, REGION_LEN) }
    }

    /// Forgets the mapping without unmapping it: for a forked child, where something else may stand at the address.
    pub(crate) fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: ours by invariant 1, still mapped by 2; by the contract of `region` nobody uses it any more.
        let _ = unsafe { munmap(self.address.as_ptr().cast(), REGION_LEN) };
    }
}
