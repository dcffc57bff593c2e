//! Shares a value between processes, by a file or a memfd that each of them maps.

#![allow(unsafe_code, reason = "maps memory that other processes share")]

use std::fs::{File, OpenOptions};
use std::io::Error;
use std::marker::PhantomData;
use std::ops::Deref;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process;
use std::ptr::{NonNull, null_mut};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use shmlock_bench_support::Result;

/// A value in shared memory, zero at first. `T` consists of atomics, for which all bits are valid.
///
/// # Invariant
/// `value` is the start of a shared mapping, readable, writable and as long as a `T`, which only
/// the drop unmaps.
#[derive(Debug)]
pub(crate) struct Mapping<T: Sync> {
    value: NonNull<T>,
    owns: PhantomData<T>,
}

// SAFETY: it hands out only `&T`, and `T` is `Sync`.
unsafe impl<T: Sync> Send for Mapping<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Mapping<T> {}

impl<T: Sync> Mapping<T> {
    /// Maps a new file.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        file.set_len(size_of::<T>() as u64)?;
        Self::of(&file)
    }

    /// Maps a file that another process made by [`create`](Self::create).
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Self::of(&file)
    }

    /// Maps memory without a name. Another process opens it by the path, while the descriptor is
    /// open.
    pub(crate) fn anonymous() -> Result<(Self, OwnedFd, String)> {
        let descriptor = memfd_create("comparison", MemfdFlags::CLOEXEC)?;
        let path = format!("/proc/{}/fd/{}", process::id(), descriptor.as_raw_fd());
        let file = File::from(descriptor);
        file.set_len(size_of::<T>() as u64)?;
        Ok((Self::of(&file)?, file.into(), path))
    }

    fn of(file: &File) -> Result<Self> {
        if file.metadata()?.len() != size_of::<T>() as u64 {
            return Err("the shared file has another size".into());
        }
        let flags = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let address = unsafe { mmap(null_mut(), size_of::<T>(), flags, MapFlags::SHARED, file, 0) };
        let value =
            NonNull::new(address.map_err(Error::from)?.cast()).ok_or("mapped at the null page")?;
        Ok(Self { value, owns: PhantomData })
    }
}

impl<T: Sync> Deref for Mapping<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY:
        // - mapped for as long as `self` lives, page-aligned, and as long as a `T`: the invariant.
        // - zeros, or bytes that other processes stored by the atomics of the same type.
        unsafe { self.value.as_ref() }
    }
}

impl<T: Sync> Drop for Mapping<T> {
    fn drop(&mut self) {
        // SAFETY: mapped with this length by the invariant; every reference borrowed `self`.
        let _ = unsafe { munmap(self.value.as_ptr().cast(), size_of::<T>()) };
    }
}
