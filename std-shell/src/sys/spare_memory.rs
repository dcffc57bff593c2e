//! Asks whether there is memory to map, before code runs that ends the process without it.

#![allow(unsafe_code, reason = "mmap and munmap work on raw addresses")]

use std::ptr::null_mut;

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// Returns `true` if so many bytes could be mapped at this moment. Two system calls.
pub(crate) fn can_map(len: usize) -> bool {
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a private anonymous mapping at an address of the kernel's choice touches no existing
    // memory.
    let Ok(page) = (unsafe { mmap_anonymous(null_mut(), len, access, MapFlags::PRIVATE) }) else {
        return false;
    };
    // SAFETY: mapped above, and not used.
    let _ = unsafe { munmap(page, len) };
    true
}
