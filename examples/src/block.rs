//! How do processes share numbers under a name? By a file in `/dev/shm` that each of them maps.
//!
//! The lock whose guard [`Block::attach`] and [`Block::leave`] ask to see orders all coming and
//! going, and all use.
//!
//! # Who is here
//!
//! A count in the block itself would stay too high for ever once somebody was killed. So each
//! process keeps a shared flock(2) on the file, which the kernel drops with the process. Whoever
//! gets the *exclusive* one is alone: on coming, it has found a block that is new, or stale because
//! all its users were killed, and zeroes it; on leaving, it is the last and removes it. (Changing
//! one kind into the other is two steps to the kernel. The lock makes them one.)

#![allow(unsafe_code, reason = "maps a file and looks at it as atomics")]

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

use crate::Result;

/// Numbers shared under a name.
///
/// # Invariants
///
/// 1. `words` is the start of a shared, readable and writable mapping of `len` words that we made.
/// 2. Nobody but the drop unmaps it.
#[derive(Debug)]
pub struct Block {
    path: PathBuf,
    file: OwnedFd,
    words: NonNull<AtomicU64>,
    len: usize,
}

impl Block {
    /// Attaches to the block of this name. If nobody else is attached, all its words are zero.
    ///
    /// # Errors
    /// What the system says; or that a file of another size stands there and is in use.
    pub fn attach(_held: &Guard<'_>, name: &str, len: usize) -> Result<Self> {
        let path = PathBuf::from(format!("/dev/shm/{name}.shmlock-block"));
        let failed = |what, errno: Errno| format!("cannot {what} {}: {errno}", path.display());
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file =
            open(&path, flags, Mode::RUSR | Mode::WUSR).map_err(|errno| failed("open", errno))?;
        let bytes = (len * size_of::<AtomicU64>()) as u64;
        if is_alone(&file)? {
            // Really allocated, not a hole: a full /dev/shm is an error here, and not a SIGBUS at
            // the first access.
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

    /// The words.
    fn words(&self) -> &[AtomicU64] {
        // SAFETY:
        // - page-aligned, readable and writable for `len` words, and never null: invariant 1.
        // - zeroed by the kernel, and every bit pattern is a valid `AtomicU64`.
        // - mapped for as long as `self` is borrowed: invariant 2. Others access it by atomics as
        //   well.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr(), self.len) }
    }

    /// One of the words.
    ///
    /// # Panics
    /// If there are not that many.
    #[must_use]
    pub fn word(&self, index: usize) -> Word<'_> {
        Word(&self.words()[index])
    }

    /// Detaches; says whether this process was the last one. Then the file is gone.
    ///
    /// # Errors
    /// What the system says.
    pub fn leave(self, _held: &Guard<'_>) -> Result<bool> {
        let last = is_alone(&self.file)?;
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

/// Whether nobody else is attached.
fn is_alone(file: &OwnedFd) -> Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// A shared number.
///
/// To change it takes two steps, [`get`](Self::get) and [`set`](Self::set). Only a lock makes them
/// one: that is what the examples show, and why there is no `fetch_add` here.
#[derive(Clone, Copy, Debug)]
pub struct Word<'a>(&'a AtomicU64);

impl Word<'_> {
    /// Its value.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.load(Relaxed) // partner: `set` in another process. Relaxed: the fences of the lock order them
    }

    /// Gives it another value.
    pub fn set(self, value: u64) {
        self.0.store(value, Relaxed); // partner: `get`
    }

    /// Adds to it, in two steps.
    pub fn add(self, more: u64) {
        self.set(self.get() + more);
    }
}
