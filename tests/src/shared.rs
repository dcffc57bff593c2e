//! Maps memory that several processes share: one value in a file without a name, `memfd_create(2)`.

#![allow(unsafe_code, reason = "maps memory that other processes share")]

use std::fs::{File, OpenOptions};
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::process;
use std::ptr::{NonNull, null_mut};

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// A type whose values may lie in [`Shared`] memory.
///
/// # Safety
/// The type consists of atomics and padding, so that any bytes are a valid value, and other
/// processes may change them at any time. Its alignment is at most a page.
pub unsafe trait Words {}

/// A value of type `T`, all zero at first, that other processes find by its [`path`](Self::path).
#[derive(Debug)]
pub struct Shared<T: Words> {
    words: NonNull<T>,
    file: File,
}

// SAFETY: the words are atomics in a mapping that lives as long as the value.
unsafe impl<T: Words> Send for Shared<T> {}
// SAFETY: as above; `&Shared` gives out nothing but `&T`.
unsafe impl<T: Words> Sync for Shared<T> {}

impl<T: Words> Shared<T> {
    /// Creates a value.
    ///
    /// # Panics
    /// If the system has no memory for it.
    #[must_use]
    pub fn new() -> Self {
        let file = memfd_create("account", MemfdFlags::CLOEXEC).expect("a memfd");
        ftruncate(&file, size_of::<T>() as u64).expect("a memfd grows");
        Self::of(file.into())
    }

    /// Opens the value of another process at its [`path`](Self::path).
    ///
    /// # Panics
    /// If it is not there.
    #[must_use]
    pub fn open(path: &str) -> Self {
        Self::of(
            OpenOptions::new()
                .read(true)
                .write(true)
                .open(path)
                .expect("the memory of a living process"),
        )
    }

    fn of(file: File) -> Self {
        let (length, flags) = (size_of::<T>(), ProtFlags::READ | ProtFlags::WRITE);
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let memory = unsafe { mmap(null_mut(), length, flags, MapFlags::SHARED, &file, 0) }
            .expect("memory for it");
        Self { words: NonNull::new(memory.cast()).expect("no mapping is at the null page"), file }
    }

    /// Returns the path by which other processes open it, valid for as long as this value lives.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", process::id(), self.file.as_raw_fd())
    }
}

impl<T: Words> Default for Shared<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Words> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY:
        // - mapped for as long as `self` lives, page-aligned, and as long as `T`.
        // - every bit pattern is a valid `T`, and all accesses are atomic: promised by
        //   `Words`.
        unsafe { self.words.as_ref() }
    }
}

impl<T: Words> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: mapped in `of` with this length; no reference to it is left.
        let _ = unsafe { munmap(self.words.as_ptr().cast(), size_of::<T>()) };
    }
}
