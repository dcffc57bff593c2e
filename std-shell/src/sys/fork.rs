//! Detects that this process is a forked child, which did not open the handle.
//!
//! A child inherits the bytes of a handle but not its mapping (`MADV_DONTFORK`) and not its
//! identity. It must notice before it touches the region. getpid(2) is too slow for each
//! acquisition. So each handle keeps the *generation* of its process. The generation of the running
//! process is in a page that the kernel zeroes in every child (`sys/wiped.rs`). It is a number, not
//! a flag: the child may open handles of its own, and these are valid. (An undisturbed acquisition
//! asks the anchor of its handle instead, `process/anchor.rs`.)
//!
//! Where the kernel has no such page, a `pthread_atfork(3)` handler zeroes the number. It runs at
//! `fork` but not at a bare `clone` system call. Where the kernel has one and no memory is left, no
//! handle is opened ([`prepare`]).

#![allow(unsafe_code, reason = "a wiped page is raw memory, and pthread_atfork is in libc only")]

use std::ptr::null_mut;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicPtr, AtomicU32};

use rustix::io::Errno;

use crate::sys::wiped::{NoPage, WipedPage};

/// The address of the running process's generation, which is 0 right after a fork. Null before the
/// first handle. Set once, by a swap. Not a `OnceLock`: one that another thread is initialising
/// during a fork would stay so in the child.
static PRESENT: AtomicPtr<AtomicU32> = AtomicPtr::new(null_mut());
/// The last generation assigned in this process or any ancestor.
static LAST: AtomicU32 = AtomicU32::new(0);
/// Replaces the wiped page where there is none.
static UNWIPED: AtomicU32 = AtomicU32::new(0);

/// The process in which a value was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcessGeneration {
    present: &'static AtomicU32,
    generation: u32,
}

impl ProcessGeneration {
    /// Returns the generation of the running process; assigns one if it has none.
    pub(crate) fn here() -> Self {
        let present = present().unwrap_or_else(choose_present);
        // Partner: the kernel's wipe, or `wipe`, before any code of the child runs. Relaxed: one
        // number.
        let generation = match present.load(Relaxed) {
            0 => {
                let next = LAST.fetch_add(1, Relaxed).wrapping_add(1).max(1);
                // Partner: the same swap by another thread that opens its first handle. Either
                // number is right.
                present.compare_exchange(0, next, Relaxed, Relaxed).err().unwrap_or(next)
            }
            known => known,
        };
        // Not read again: a signal handler may have forked, and the number of the child is 0.
        Self { present, generation }
    }

    /// Returns `true` if the running process made this value. Async-signal-safe; one load.
    #[inline]
    pub(crate) fn is_here(self) -> bool {
        // Partner: as in `here`.
        self.present.load(Relaxed) == self.generation
    }

    /// Returns the number; 0 is the generation of no process.
    #[inline]
    pub(crate) fn generation(self) -> u32 {
        self.generation
    }
}

/// Returns the generation of the running process; 0 if it has opened no handle yet.
/// Async-signal-safe.
#[inline]
pub(crate) fn present_generation() -> u32 {
    // Partner: as in `ProcessGeneration::here`.
    present().map_or(0, |present| present.load(Relaxed))
}

/// Returns a number that names this process, and none of its ancestors. Not 0.
///
/// For interfaces to other languages, whose handles tell a forked child without touching the lock.
/// Async-signal-safe once a handle was opened.
#[doc(hidden)]
#[must_use]
pub fn process_generation() -> u32 {
    ProcessGeneration::here().generation()
}

#[inline]
fn present() -> Option<&'static AtomicU32> {
    // Pairs with the swap in `publish`: the word that it points to is initialised.
    let present = PRESENT.load(Acquire);
    // SAFETY: null, or a static, or a word of a page that is never unmapped once its address is
    // here.
    unsafe { present.as_ref() }
}

/// Makes the word of the generation for the handles of this process.
///
/// # Errors
/// There is no memory for it.
pub(crate) fn prepare() -> Result<(), Errno> {
    if present().is_some() {
        return Ok(());
    }
    let page = match WipedPage::new() {
        Ok(page) => Some(page),
        Err(NoPage::Unsupported) => None,
        Err(NoPage::NoMemory(errno)) => return Err(errno),
    };
    publish(page);
    Ok(())
}

/// Makes the word of the generation. Without memory the answer is the word that a handler zeroes,
/// for this value alone.
#[cold]
fn choose_present() -> &'static AtomicU32 {
    match WipedPage::new() {
        Ok(page) => publish(Some(page)),
        Err(NoPage::Unsupported) => publish(None),
        Err(NoPage::NoMemory(_)) => zeroed_by_handler(),
    }
}

/// Makes the word of the generation in this page, or where a handler zeroes it, unless another
/// thread is faster.
fn publish(page: Option<WipedPage>) -> &'static AtomicU32 {
    let ours = page.as_ref().map_or_else(zeroed_by_handler, word_of);
    // Pairs with `present`, and with itself on another thread.
    match PRESENT.compare_exchange(null_mut(), std::ptr::from_ref(ours).cast_mut(), AcqRel, Acquire)
    {
        Ok(_) => ours,
        Err(theirs) => {
            if let Some(page) = page {
                page.unmap();
            }
            // SAFETY: not null; otherwise as in `present`.
            unsafe { &*theirs }
        }
    }
}

/// The distance of the number from the end of its page.
///
/// Each acquisition reads the number and writes the owner word, which is the first of another page.
/// Two lines at the same offset in their pages share a set of the first-level cache. If their
/// physical addresses clash too, each access to one delays the other. So the number is not at the
/// beginning. (Benchmark: "Uncontended" in `docs/figures.md`.)
const DISTANCE_FROM_END: usize = 128;

/// Returns the word of the generation in a page of our own.
fn word_of(page: &WipedPage) -> &'static AtomicU32 {
    let word = page.address().as_ptr().wrapping_byte_add(page.len() - DISTANCE_FROM_END);
    // SAFETY:
    // - within the page, aligned, readable and writable; unmapped only by `publish`, which
    //   has no other reference then.
    // - all zero is a valid `AtomicU32`; all accesses go through this reference.
    unsafe { &*word.cast::<AtomicU32>() }
}

fn zeroed_by_handler() -> &'static AtomicU32 {
    run_in_children(wipe);
    &UNWIPED
}

/// Registers a handler that runs in the child of every fork(3), `pthread_atfork(3)`. It must be
/// async-signal-safe.
pub(crate) fn run_in_children(in_child: extern "C" fn()) {
    // SAFETY: the caller passes a function that may run there, by the contract above.
    unsafe {
        libc::pthread_atfork(None, None, Some(in_child));
    }
}

/// Registers handlers that run in the thread that forks, before and after every fork(3),
/// `pthread_atfork(3)`. Both must be async-signal-safe.
pub(crate) fn run_around_forks(before: extern "C" fn(), after: extern "C" fn()) {
    // SAFETY: the caller passes functions that may run there, by the contract above.
    // Without memory it fails; forks do not wait then.
    unsafe {
        libc::pthread_atfork(Some(before), Some(after), None);
    }
}

/// Runs in the child of every fork.
extern "C" fn wipe() {
    // Partner: `ProcessGeneration::is_here`. Relaxed: the child has one thread.
    UNWIPED.store(0, Relaxed);
}
