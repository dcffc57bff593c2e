//! Shares numbers under a name, by a file in `/dev/shm` that each process maps.
//!
//! A lock orders every attach, every detach and all accesses; [`Block::attach`] and
//! [`Block::leave`] take its guard as evidence.
//!
//! # Counting the users
//!
//! A count in the block would stay too high after a kill. Each process holds a shared flock(2) on
//! the file instead, which the kernel drops with the process. A process that gets the exclusive
//! flock is alone. While attaching it then zeroes the block, which is new or left by killed users;
//! while leaving it removes the file. (The kernel converts a flock in two steps; the lock makes
//! them one.)

#![allow(unsafe_code, reason = "maps a file and accesses it as atomics")]

use std::io::{Error, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use rustix::fs::{
    FallocateFlags, FlockOperation, Mode, OFlags, fallocate, flock, fstat, ftruncate, open, unlink,
};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use shmlock::Guard;
use shmlock_bench_support::Result;

/// Numbers shared under a name.
///
/// # Invariants
///
/// 1. `words` is the start of a shared, readable and writable mapping of `len` words, made here.
/// 2. Only the drop unmaps it.
#[derive(Debug)]
pub(crate) struct Block {
    path: PathBuf,
    file: OwnedFd,
    words: NonNull<AtomicU64>,
    len: usize,
}

impl Block {
    /// Attaches to the block of this name. Its words are zero if no other process is attached.
    ///
    /// # Errors
    /// The system's error, or that a file of another size is there and in use.
    pub(crate) fn attach(_held: &Guard<'_>, name: &str, len: usize) -> Result<Self> {
        let path = PathBuf::from(format!("/dev/shm/{name}.shmlock-block"));
        let failed = |what, errno: Errno| format!("cannot {what} {}: {errno}", path.display());
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file =
            open(&path, flags, Mode::RUSR | Mode::WUSR).map_err(|errno| failed("open", errno))?;
        let bytes = (len * size_of::<AtomicU64>()) as u64;
        if try_exclude_others(&file)? {
            // Allocated, not a hole: a full /dev/shm is an error here instead of a SIGBUS at the
            // first access.
            let made = ftruncate(&file, 0)
                .and_then(|()| fallocate(&file, FallocateFlags::empty(), 0, bytes));
            if let Err(errno) = made {
                unlink(&path)?;
                return Err(failed("allocate", errno).into());
            }
        } else if u64::try_from(fstat(&file)?.st_size) != Ok(bytes) {
            return Err(format!(
                "{} is in use by another program; choose another name",
                path.display()
            )
            .into());
        }
        flock(&file, FlockOperation::NonBlockingLockShared)?;
        let bytes = usize::try_from(bytes)?;
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let address = unsafe {
            mmap(null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED, &file, 0)
        };
        let address = address.map_err(|errno| failed("map", errno))?;
        let words = NonNull::new(address.cast()).ok_or(Error::from(ErrorKind::InvalidData))?;
        Ok(Self { path, file, words, len })
    }

    /// Returns the words.
    fn words(&self) -> &[AtomicU64] {
        // SAFETY:
        // - page-aligned, readable and writable for `len` words, and never null: invariant 1.
        // - zeroed by the kernel, and every bit pattern is a valid `AtomicU64`.
        // - mapped for as long as `self` is borrowed: invariant 2. All processes access it by
        //   atomics.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr(), self.len) }
    }

    /// Returns one of the words.
    ///
    /// # Panics
    /// If `index` is out of bounds.
    pub(crate) fn word(&self, index: usize) -> Word<'_> {
        Word(&self.words()[index])
    }

    /// Detaches, and removes the file if no other process is attached. Returns `true` if it did.
    ///
    /// # Errors
    /// The system's error.
    pub(crate) fn leave(self, _held: &Guard<'_>) -> Result<bool> {
        let last = try_exclude_others(&self.file)?;
        if last {
            unlink(&self.path)?;
        }
        Ok(last)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: ours by invariant 1, still mapped by 2; all references to the words borrowed
        // `self`.
        let _ = unsafe { munmap(self.words.as_ptr().cast(), self.len * size_of::<AtomicU64>()) };
    }
}

/// Converts our flock(2) to an exclusive one if no other process is attached. Returns `true` if it
/// did; else our flock may be lost.
fn try_exclude_others(file: &OwnedFd) -> Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// A shared number.
///
/// A change takes two steps, [`get`](Self::get) and [`set`](Self::set), which only a lock makes
/// one. There is no `fetch_add`, so that a failure of the lock shows as a lost increment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word<'a>(&'a AtomicU64);

impl Word<'_> {
    /// Returns the value.
    pub(crate) fn get(self) -> u64 {
        // Partner: `set` in another process. Relaxed: the fences of the lock order the two.
        self.0.load(Relaxed)
    }

    /// Sets the value.
    pub(crate) fn set(self, value: u64) {
        self.0.store(value, Relaxed); // partner: `get`
    }

    /// Adds to the value, in two steps.
    pub(crate) fn add(self, more: u64) {
        self.set(self.get() + more);
    }
}
