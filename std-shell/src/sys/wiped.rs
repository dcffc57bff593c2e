//! Makes memory that reads as zero in every child: `MADV_WIPEONFORK`, madvise(2).
//!
//! Linux before 4.14 does not have that advice, and an emulator may answer 0 to any advice and do
//! nothing. Then the caller zeroes its memory itself, in a handler of `pthread_atfork(3)`.

#![allow(unsafe_code, reason = "mmap, madvise and munmap work on raw addresses")]

use std::ffi::c_void;
use std::ptr::{NonNull, null_mut};

use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};

/// A page that the kernel zeroes in every child. It stays mapped.
pub(crate) struct WipedPage {
    page: NonNull<c_void>,
    len: usize,
}

/// Why there is no such page.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NoPage {
    /// The kernel does not have the advice.
    Unsupported,
    /// There may be one later.
    NoMemory(Errno),
}

impl WipedPage {
    /// Maps a page.
    pub(crate) fn new() -> Result<Self, NoPage> {
        let len = rustix::param::page_size();
        if !is_advice_checked() {
            return Err(NoPage::Unsupported);
        }
        // SAFETY: a private anonymous mapping at an address of the kernel's choice touches no
        // existing memory.
        let page = unsafe {
            mmap_anonymous(null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
        };
        let page = page.map_err(NoPage::NoMemory)?;
        let page = NonNull::new(page).ok_or(NoPage::NoMemory(Errno::NOMEM))?;
        let page = Self { page, len };
        // SAFETY: no other code uses the page, and it is meant to be zeroed in children.
        let wiped = unsafe { madvise(page.page.as_ptr(), len, Advice::LinuxWipeOnFork) };
        let Err(errno) = wiped else { return Ok(page) };
        page.unmap();
        // It splits a mapping, of which there are only so many: `max_map_count` in proc(5).
        Err(match errno {
            Errno::NOMEM | Errno::AGAIN => NoPage::NoMemory(errno),
            _ => NoPage::Unsupported,
        })
    }

    /// Returns the address of the page, which is readable and writable.
    pub(crate) fn address(&self) -> NonNull<c_void> {
        self.page
    }

    /// Returns the size of the page in bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Unmaps the page. No reference to it is used any more.
    pub(crate) fn unmap(self) {
        // SAFETY: mapped by `new`, and not used any more.
        let _ = unsafe { rustix::mm::munmap(self.page.as_ptr(), self.len) };
    }
}

/// Returns `true` if madvise(2) refuses unknown advice. qemu-user answers 0 to every number, and
/// does nothing.
fn is_advice_checked() -> bool {
    // No kernel uses this number. The range is empty, and at the null page, where nothing is
    // mapped.
    const BOGUS: libc::c_int = 0x0053_484c;
    // SAFETY: with length 0 no memory is affected, whatever the advice.
    unsafe { libc::madvise(null_mut(), 0, BOGUS) == -1 }
}
