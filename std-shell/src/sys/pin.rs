//! Keeps an open file description alive without its descriptor, mmap(2).

#![allow(unsafe_code, reason = "mmap, madvise and munmap work on raw addresses")]

use std::mem::forget;
use std::os::fd::BorrowedFd;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::AtomicPtr;
use std::sync::atomic::Ordering::Relaxed;

use rustix::io::{Errno, retry_on_intr};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

use crate::sys::fork::ProcessGeneration;

/// An inaccessible mapping that keeps an open file description, and its byte locks, alive.
///
/// # Invariant
///
/// `address` is the start of a mapping of [`PIN_LEN`] bytes that we made. No code accesses it.
#[derive(Debug)]
pub(crate) struct Pin {
    address: NonNull<u8>,
    /// The process that made it.
    birth: ProcessGeneration,
}

/// Any length keeps the description; the kernel rounds it up to a page.
const PIN_LEN: usize = 1;

impl Pin {
    /// Maps a page of the file without access, and not for children. mmap(2), madvise(2). `birth`
    /// was read before the call: a child that a signal handler forks meanwhile must not take the
    /// mapping for its own.
    pub(crate) fn new(fd: BorrowedFd<'_>, birth: ProcessGeneration) -> Result<Self, Errno> {
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let address = retry_on_intr(|| unsafe {
            mmap(null_mut(), PIN_LEN, ProtFlags::empty(), MapFlags::SHARED, fd, 0)
        })?;
        let pin = Self { address: NonNull::new(address.cast()).ok_or(Errno::FAULT)?, birth };
        if !birth.is_here() {
            // A signal handler has forked: this child has a mapping of its own, which the drop does
            // not unmap. SAFETY: ours, and no code accesses it.
            let _ = unsafe { munmap(address, PIN_LEN) };
            return Err(Errno::INTR);
        }
        // SAFETY: the mapping is ours, and no child needs it.
        retry_on_intr(|| unsafe { madvise(address, PIN_LEN, Advice::LinuxDontFork) })?;
        Ok(pin)
    }

    #[cfg(test)]
    pub(crate) fn address(&self) -> *mut u8 {
        self.address.as_ptr()
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        if !self.birth.is_here() {
            return; // a forked child: not inherited, and the address may be in use
        }
        // SAFETY: ours by the invariant, and no code accesses it.
        let _ = unsafe { munmap(self.address.as_ptr().cast(), PIN_LEN) };
    }
}

/// A place for a [`Pin`] that is made before it is needed.
#[derive(Debug)]
pub(crate) struct PinPlace(AtomicPtr<u8>);

impl PinPlace {
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(null_mut()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.load(Relaxed).is_null() // partners: `fill`, `take`; no code accesses the mapping
    }

    /// Puts the pin here. If there is one already, this one is dropped.
    pub(crate) fn fill(&self, pin: Pin) {
        let address = pin.address.as_ptr();
        // Partners: the same on another thread, `take`. Relaxed: as in `is_empty`.
        if self.0.compare_exchange(null_mut(), address, Relaxed, Relaxed).is_ok() {
            forget(pin); // `take` leads to its drop
        }
    }

    /// Takes the pin out, if there is one; `birth` is the process that has made it.
    pub(crate) fn take(&self, birth: ProcessGeneration) -> Option<Pin> {
        // Partners: `fill`, the same on another thread: one of them gets it. Relaxed: as above.
        let address = self.0.swap(null_mut(), Relaxed);
        NonNull::new(address).map(|address| Pin { address, birth })
    }
}
