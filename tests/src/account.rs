//! Memory that several processes share beside the lock, in which they note what the lock is supposed to order.

#![allow(unsafe_code, reason = "maps memory that other processes share")]

use std::fs::{File, OpenOptions};
use std::ops::Deref;
use std::os::fd::AsRawFd;
use std::process;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// The words of an account. All zero at first.
#[repr(C)]
#[derive(Debug)]
pub struct Words {
    /// Counted up without an atomic addition: two who do so at one time lose one.
    pub count: AtomicU64,
    /// Who is in the section; 0 if nobody.
    pub inside: AtomicU64,
    /// How often somebody found another in the section.
    pub collisions: AtomicU64,
    /// How many have arrived at the starting line.
    pub met: AtomicU64,
    /// Not zero: whoever runs without end is to stop.
    pub stop: AtomicU64,
    /// How many sections were entered after a death.
    pub recoveries: AtomicU64,
    /// How many rounds of something have been run.
    pub rounds: AtomicU64,
    /// How many files have been made of one name.
    pub births: AtomicU64,
}

/// Every this many sections the holder gives its processor away in the middle: then others really meet a held lock,
/// also on one core.
const YIELD_EVERY: u64 = 8;

/// The account of one test, shared by its processes and threads.
#[derive(Debug)]
pub struct Account {
    words: NonNull<Words>,
    file: File,
}

// SAFETY: the words are atomics in a mapping that lives as long as the value.
unsafe impl Send for Account {}
// SAFETY: as above; `&Account` gives out nothing but `&Words`.
unsafe impl Sync for Account {}

impl Default for Account {
    fn default() -> Self {
        Self::new()
    }
}

impl Account {
    /// A new one.
    ///
    /// # Panics
    /// If the system has no memory for it.
    #[must_use]
    pub fn new() -> Self {
        let file = memfd_create("account", MemfdFlags::CLOEXEC).expect("a memfd");
        ftruncate(&file, size_of::<Words>() as u64).expect("a memfd grows");
        Self::of(file.into())
    }

    /// The one at this [`path`](Self::path), of another process.
    ///
    /// # Panics
    /// If it is not there.
    #[must_use]
    pub fn open(path: &str) -> Self {
        Self::of(OpenOptions::new().read(true).write(true).open(path).expect("the account of a living process"))
    }

    fn of(file: File) -> Self {
        let (length, flags) = (size_of::<Words>(), ProtFlags::READ | ProtFlags::WRITE);
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let memory = unsafe { mmap(null_mut(), length, flags, MapFlags::SHARED, &file, 0) }.expect("memory for it");
        Self { words: NonNull::new(memory.cast()).expect("no mapping is at the null page"), file }
    }

    /// Where other processes find it, for as long as this one lives.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", process::id(), self.file.as_raw_fd())
    }

    /// Waits until `all` have come this far.
    pub fn meet(&self, all: u64) {
        self.met.fetch_add(1, Relaxed);
        while self.met.load(Relaxed) < all {
            thread::yield_now();
        }
    }

    /// What is to be done by one at a time. `me` is not 0 and nobody else's; `after_death` says that the one before may
    /// have been stopped at any instruction.
    ///
    /// Plain loads and stores, but for noting a mistake: nothing here may order what the lock has to order.
    pub fn section(&self, me: u64, round: u64, after_death: bool) {
        let before = self.inside.load(Relaxed);
        self.inside.store(me, Relaxed);
        let count = self.count.load(Relaxed);
        if round % YIELD_EVERY == 0 {
            thread::yield_now();
        }
        self.count.store(count + 1, Relaxed);
        let after = self.inside.load(Relaxed);
        self.inside.store(0, Relaxed);
        if (before != 0 && !after_death) || after != me {
            self.collisions.fetch_add(1, Relaxed);
        }
        if after_death {
            self.recoveries.fetch_add(1, Relaxed);
        }
    }

    /// The count, once nobody adds to it any more.
    ///
    /// # Panics
    /// If two were in the section at one time.
    #[must_use]
    pub fn balance(&self) -> u64 {
        assert_eq!(self.collisions.load(Relaxed), 0, "two were in the section at one time");
        self.count.load(Relaxed)
    }
}

impl Deref for Account {
    type Target = Words;

    fn deref(&self) -> &Words {
        // SAFETY:
        // - mapped for as long as `self` lives, page-aligned, and as long as `Words`.
        // - every bit pattern is a valid `Words`, and everybody accesses it by atomics.
        unsafe { self.words.as_ref() }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        // SAFETY: mapped in `of` with this length; nobody can have a reference any more.
        let _ = unsafe { munmap(self.words.as_ptr().cast(), size_of::<Words>()) };
    }
}
