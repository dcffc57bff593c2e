//! Maps the file: the lock's region, the header behind it, and the data behind that.
//!
//! The mapping also **keeps our identity**. It holds a reference to the open file description `A`,
//! whose byte locks are our presence and our token, after the descriptor itself is closed. So these
//! locks live exactly as long as this mapping. They are in no descriptor table and, by
//! `MADV_DONTFORK`, in no child: a child with the mapping would prove its dead parent alive. (A
//! handle with a lifeline also keeps a descriptor: `lock/lifeline.rs`.)

#![allow(unsafe_code, reason = "mmap, madvise and munmap work on raw addresses")]

use std::os::fd::BorrowedFd;
use std::ptr::{NonNull, null_mut};

use rustix::io::{Errno, retry_on_intr};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};
use shmlock_core::Region;
use shmlock_core::layout::REGION_LEN;

#[cfg(feature = "block")]
use crate::layout::header::DATA_OFFSET;
use crate::layout::header::{HEADER_OFFSET, Header};
#[cfg(feature = "block")]
use crate::shm::data::Data;
use crate::sys::fork::ProcessGeneration;

/// A shared mapping of one file; unmapped on drop.
///
/// # Invariants
///
/// 1. `address` is the start of a shared, readable and writable mapping of `len` bytes that we
///    made; `len` is at least 192, where the data begins.
/// 2. Only the drop unmaps it.
#[derive(Debug)]
pub(crate) struct Mapping {
    address: NonNull<u8>,
    len: usize,
    /// The process that made it.
    birth: ProcessGeneration,
}

// SAFETY: a mapping belongs to the process, not to a thread. The address is used to make views that
// access it by atomics. The drop uses it, too, when there is no other reference to the value.
unsafe impl Send for Mapping {}
// SAFETY: as above; `&Mapping` offers only views by atomics.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `file_len` bytes of the file, mmap(2), and not for children, madvise(2).
    /// `birth` was read before the call: a child that a signal handler forks meanwhile must not
    /// take the mapping for its own.
    pub(crate) fn new(
        fd: BorrowedFd<'_>,
        file_len: u64,
        birth: ProcessGeneration,
    ) -> Result<Self, Errno> {
        let len = usize::try_from(file_len).map_err(|_| Errno::NOMEM)?;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let address = retry_on_intr(|| unsafe {
            mmap(null_mut(), len, protection, MapFlags::SHARED, fd, 0)
        })?;
        let mapping =
            Self { address: NonNull::new(address.cast()).ok_or(Errno::FAULT)?, len, birth };
        // SAFETY: the mapping is ours; children check that they lack it (`sys/fork.rs`).
        retry_on_intr(|| unsafe { madvise(address, len, Advice::LinuxDontFork) })?;
        Ok(mapping)
    }

    /// Populates the pages, so that no later access faults: a file that was truncated meanwhile is
    /// reported here by `EFAULT` instead of `SIGBUS`. Linux before 5.14 and some sandboxes do not
    /// support it; then nothing is checked.
    pub(crate) fn populate(&self) -> Result<(), Errno> {
        // SAFETY: prefaulting changes no content; the range is ours by invariant 1.
        match retry_on_intr(|| unsafe {
            madvise(self.address.as_ptr().cast(), self.len, Advice::LinuxPopulateWrite)
        }) {
            // The errors of this advice, madvise(2). Any other means that it is not supported.
            Err(errno @ (Errno::FAULT | Errno::NOMEM | Errno::HWPOISON)) => Err(errno),
            Err(_) | Ok(()) => Ok(()),
        }
    }

    /// Writes our magic if the region has none. A foreign magic is left alone.
    pub(crate) fn claim(&self) {
        // SAFETY: the region is dropped at once, before this mapping.
        let _ = unsafe { self.region() };
    }

    /// Returns the region; checks its magic, and writes it if it has none.
    ///
    /// # Safety
    ///
    /// The region and its copies are not used after this mapping is dropped.
    pub(crate) unsafe fn region(&self) -> Result<Region<'static>, shmlock_core::Error> {
        // SAFETY:
        // - mapped, readable, writable: invariant 1; for as long as it is used: promised by the
        //   caller.
        // - accessed by 32-bit atomics only: this process has no other pointer to it. Other
        //   processes may write what they like through their own mappings; here that appears as
        //   other values, which is allowed.
        // - not truncated: on tmpfs this cannot be prevented against a peer with write access; the
        //   kernel then ends the process by SIGBUS. Documented as a limit.
        unsafe { Region::from_raw(self.address, REGION_LEN) }
    }

    /// Returns the header.
    ///
    /// # Safety
    ///
    /// The reference is not used after this mapping is dropped.
    pub(crate) unsafe fn header(&self) -> &'static Header {
        // SAFETY: inside the mapping, which is long enough by invariant 1.
        let header = unsafe { self.address.add(HEADER_OFFSET) };
        // SAFETY:
        // - aligned: the mapping begins a page, and the offset is a multiple of 4; mapped:
        //   invariant 1; for as long as it is used: promised by the caller.
        // - every bit pattern is a valid `Header`: it consists of atomics; otherwise as in
        //   `region`.
        unsafe { header.cast::<Header>().as_ref() }
    }

    /// Returns the data behind the header, to the end of the mapping.
    ///
    /// # Safety
    ///
    /// The data is not used after this mapping is dropped.
    #[cfg(feature = "block")]
    pub(crate) unsafe fn data(&self) -> Data<'static> {
        // SAFETY: inside the mapping or right behind it, by invariant 1.
        let data = unsafe { self.address.add(DATA_OFFSET) };
        // SAFETY:
        // - aligned to 64: the mapping begins a page; mapped to its end: invariant 1; for as long
        //   as it is used: promised by the caller.
        // - accessed by atomics only, as in `region`.
        unsafe { Data::from_raw(data, self.len - DATA_OFFSET) }
    }

    /// Forgets the mapping without unmapping it: in a forked child its address may be in use.
    pub(crate) fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if !self.birth.is_here() {
            // A forked child: not inherited, and the address may be in use.
            return;
        }
        // SAFETY: ours by invariant 1, still mapped by 2; unused by the contracts of `region`,
        // `header` and `data`.
        let _ = unsafe { munmap(self.address.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

    use super::Mapping;
    use crate::sys::fork::ProcessGeneration;
    use crate::sys::pin::Pin;

    /// Runs `act` in a forked child and returns its result.
    fn in_child(act: impl FnOnce() -> bool) -> bool {
        // SAFETY: the child makes system calls only, and then ends.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let code = i32::from(!act());
            // SAFETY: ends the child without running the parent's exit handlers.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: a valid pointer, and a child of ours.
        pid > 0 && unsafe { libc::waitpid(pid, &raw mut status, 0) } == pid && status == 0
    }

    /// Maps a page of the child at an address where the parent has a mapping that the child lacks.
    /// Drops that mapping. Returns `true` if the page is still there.
    fn survives(address: *mut u8, gone: impl FnOnce()) -> bool {
        let (protection, flags) =
            (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::FIXED_NOREPLACE);
        // SAFETY: no existing mapping is replaced.
        let Ok(page) = (unsafe { mmap_anonymous(address.cast(), 1, protection, flags) }) else {
            return false;
        };
        gone();
        let mut resident = 0_u8;
        // SAFETY: mincore(2) writes one byte for one page; for an unmapped address it returns an
        // error.
        unsafe { libc::mincore(page, 1, &raw mut resident) == 0 }
    }

    #[test]
    fn a_forked_child_unmaps_nothing_at_the_address_of_a_mapping_that_it_lacks() {
        let file = memfd_create("mapping", MemfdFlags::CLOEXEC).expect("a memfd");
        ftruncate(&file, 192).expect("an empty file");
        let birth = ProcessGeneration::here();
        if in_child(|| birth.is_here()) {
            return; // forks cannot be detected here
        }
        let pin = Pin::new(file.as_fd(), birth).expect("memory");
        let at = pin.address();
        assert!(in_child(|| survives(at, || drop(pin))), "by a pin");
        let mapping = Mapping::new(file.as_fd(), 192, birth).expect("memory");
        let at = mapping.address.as_ptr();
        assert!(in_child(|| survives(at, || drop(mapping))), "by a mapping");
    }
}
