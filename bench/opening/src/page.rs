//! A page of shared memory with a name: what opening is measured by.

#![allow(unsafe_code, reason = "maps memory")]

use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use shmlock_bench_support::Result;

/// A mapped page.
///
/// # Invariant
/// `word` is the start of a shared mapping of [`LEN`] bytes, which only the drop unmaps.
pub(crate) struct Page {
    word: NonNull<AtomicU64>,
    /// The file, in the process that has made it.
    made: Option<PathBuf>,
}

const LEN: usize = 4096;

fn path(name: &str) -> PathBuf {
    PathBuf::from(format!("/dev/shm/{name}.page"))
}

impl Page {
    /// Makes the page.
    pub(crate) fn create(name: &str) -> Result<Self> {
        let path = path(name);
        OpenOptions::new().write(true).create_new(true).open(&path)?.set_len(LEN as u64)?;
        Ok(Self { made: Some(path), ..Self::open(name)? })
    }

    /// Opens and maps the page.
    pub(crate) fn open(name: &str) -> Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path(name))?;
        if file.metadata()?.len() != LEN as u64 {
            return Err("the page has another size".into());
        }
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let address = unsafe { mmap(null_mut(), LEN, access, MapFlags::SHARED, &file, 0) };
        let word = address.map_err(std::io::Error::from)?.cast();
        Ok(Self { word: NonNull::new(word).ok_or("mapped at the null page")?, made: None })
    }

    /// Adds to the first word.
    pub(crate) fn touch(&self) {
        // SAFETY: mapped and aligned by the invariant; all users of the page use atomics.
        unsafe { self.word.as_ref() }.fetch_add(1, Relaxed);
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: mapped with this length by the invariant; no reference outlives `self`.
        let _ = unsafe { munmap(self.word.as_ptr().cast(), LEN) };
        if let Some(path) = self.made.take() {
            let _ = fs::remove_file(path);
        }
    }
}
