//! Am I still in the process that opened this handle?
//!
//! A forked child inherits the bytes of a handle but not its mapping (`MADV_DONTFORK`) and not its
//! identity. It must notice before it touches the region, and cheaply: getpid(2) costs as much as
//! forty acquisitions. So each handle remembers a *generation*, and a page that the kernel wipes in
//! every child (`MADV_WIPEONFORK`, madvise(2)) holds the present one. It is a number and not a
//! flag, because the child may open handles of its own, and they are good.
//!
//! Where that advice is not understood (Linux before 4.14, or an emulator that answers 0 to any
//! advice at all), a `pthread_atfork(3)` handler does the wiping. It sees `fork` but not a bare
//! `clone` system call.

#![allow(unsafe_code, reason = "a wiped page is raw memory, and pthread_atfork is in libc only")]

use std::ffi::c_void;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicPtr, AtomicU32};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};

/// Where the generation of the running process is, which is 0 right after a fork. Null before the
/// first handle. Set once, by a swap: a fork may find another thread at any step, and a `OnceLock`
/// that runs would stay so in the child.
static PRESENT: AtomicPtr<AtomicU32> = AtomicPtr::new(null_mut());
/// The last generation given out in this process or any ancestor.
static LAST: AtomicU32 = AtomicU32::new(0);
/// Stands in for the wiped page where there is none.
static UNWIPED: AtomicU32 = AtomicU32::new(0);

/// In which process something was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcessGeneration {
    present: &'static AtomicU32,
    generation: u32,
}

impl ProcessGeneration {
    /// Here and now.
    pub(crate) fn here() -> Self {
        let present = present().unwrap_or_else(choose_present);
        // Partner: the kernel's wipe, or `wipe`, which happen before any code of the child.
        // Relaxed: one number.
        if present.load(Relaxed) == 0 {
            let next = LAST.fetch_add(1, Relaxed).wrapping_add(1).max(1);
            // Partner: the same swap by another thread that opens its first handle. Either number
            // will do.
            let _ = present.compare_exchange(0, next, Relaxed, Relaxed);
        }
        Self { present, generation: present.load(Relaxed) }
    }

    /// Whether this process is the one. Async-signal-safe; one load.
    #[inline]
    pub(crate) fn is_here(self) -> bool {
        // Partner: as in `here`.
        self.present.load(Relaxed) == self.generation
    }

    /// The number itself; 0 is nobody's.
    #[inline]
    pub(crate) fn generation(self) -> u32 {
        self.generation
    }
}

/// The generation of the running process, 0 if it has opened nothing yet. Async-signal-safe.
#[inline]
pub(crate) fn present_generation() -> u32 {
    // Partner: as in `ProcessGeneration::here`.
    present().map_or(0, |present| present.load(Relaxed))
}

#[inline]
fn present() -> Option<&'static AtomicU32> {
    // Pairs with the swap in `choose_present`: what it points to is there.
    let present = PRESENT.load(Acquire);
    // SAFETY: null, or a static, or a word of a page that is never unmapped once it stands here.
    unsafe { present.as_ref() }
}

/// Makes the place of the generation, unless another thread is faster.
#[cold]
fn choose_present() -> &'static AtomicU32 {
    let page = WipedPage::new();
    let ours = page.as_ref().map_or_else(wiped_by_handler, |page| page.word);
    // Pairs with `present`, and with itself on another thread.
    match PRESENT.compare_exchange(null_mut(), std::ptr::from_ref(ours).cast_mut(), AcqRel, Acquire)
    {
        Ok(_) => ours,
        Err(theirs) => {
            if let Some(page) = page {
                page.unmap();
            }
            // SAFETY: not null, so as in `present`.
            unsafe { &*theirs }
        }
    }
}

/// Where in the page the number is: in the last line of any cache. Each acquisition reads it and
/// writes the owner word, the first of another page. Two lines at the same place of their pages
/// share a set of the first-level cache, and on an AMD EPYC, if their physical addresses clash too,
/// each access to one delays the other: with the number at the beginning of its page, one process
/// in seven took 6.2 ns for an acquisition and a release instead of 5.0 for as long as it lived.
const FROM_THE_END: usize = 128;

/// A page that every child finds zeroed.
struct WipedPage {
    page: NonNull<c_void>,
    len: usize,
    word: &'static AtomicU32,
}

impl WipedPage {
    /// Maps one; `None` if the kernel does not offer that.
    fn new() -> Option<Self> {
        // Not rustix::param::page_size: before Linux 6.4 it opens /proc/self/auxv, and panics if it
        // cannot.
        // SAFETY: sysconf(3) has no preconditions.
        let len = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
        if !understands_advice() {
            return None;
        }
        // SAFETY: a private anonymous mapping at an address of the kernel's choice touches no
        // existing memory.
        let page = unsafe {
            mmap_anonymous(null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
        };
        let page = NonNull::new(page.ok()?)?;
        let word = page.as_ptr().cast::<AtomicU32>().wrapping_byte_add(len - FROM_THE_END);
        // SAFETY:
        // - within the page and aligned; readable and writable; unmapped only by `unmap`, which
        //   asks for no other reference.
        // - all zero is a valid `AtomicU32`; all accesses go through this reference.
        let page = Self { page, len, word: unsafe { &*word } };
        // SAFETY: the page is ours alone, and being zeroed in children is what it is for.
        let wiped = unsafe { madvise(page.page.as_ptr(), len, Advice::LinuxWipeOnFork) };
        if wiped.is_err() {
            page.unmap();
            return None;
        }
        Some(page)
    }

    /// Gives up a page whose word nobody else has a reference to.
    fn unmap(self) {
        // SAFETY: mapped by `new`; the word went with `self`.
        let _ = unsafe { rustix::mm::munmap(self.page.as_ptr(), self.len) };
    }
}

/// Whether madvise(2) is taken seriously here: qemu-user answers 0 to every number, and does
/// nothing.
fn understands_advice() -> bool {
    // No kernel uses this number. Nothing is mapped at the null page, and no page of it is named
    // (length 0).
    const BOGUS: libc::c_int = 0x0053_484c;
    // SAFETY: with length 0 no memory is affected, whatever the advice.
    unsafe { libc::madvise(null_mut(), 0, BOGUS) == -1 }
}

fn wiped_by_handler() -> &'static AtomicU32 {
    // SAFETY: `wipe` is async-signal-safe: it stores to an atomic static.
    unsafe {
        libc::pthread_atfork(None, None, Some(wipe));
    }
    &UNWIPED
}

/// Has these run around every fork(3): in the thread that forks, before and after it, and in the
/// child. `pthread_atfork(3)`.
pub(crate) fn at_each(before: extern "C" fn(), after: extern "C" fn(), in_child: extern "C" fn()) {
    // SAFETY: whoever gives them vouches that they do what may be done there: async-signal-safe
    // things only.
    unsafe {
        libc::pthread_atfork(Some(before), Some(after), Some(in_child)); // fails for want of memory: then forks do not wait
    }
}

/// Runs in the child of every fork.
extern "C" fn wipe() {
    // Partner: `ProcessGeneration::is_here`. Relaxed: the child has one thread.
    UNWIPED.store(0, Relaxed);
}
