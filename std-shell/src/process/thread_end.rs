//! Watches for the end of threads, so that no mark of an ended thread is left.
//!
//! The C library gives the control block of an ended thread to a new one, with its address: the
//! thread pointer by which an anchor tells whether the handle's note of its thread is right. So
//! every thread that an anchor names is watched, by a thread-specific key of
//! `pthread_key_create(3)`. When it ends, its marks are removed, and the next thread that uses such
//! a handle is noted.
//!
//! A thread that ends by the bare system call runs no destructor. Its marks are removed before the
//! next thread with this thread pointer gets one of its own. Until then that thread is taken for
//! the ended one by the handles that it gets: the deadlock check and the exit handlers do not know
//! that it holds them.

#![allow(unsafe_code, reason = "pthread_key_create and pthread_setspecific are in libc only")]

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicU64, compiler_fence};

use crate::process::anchor;
use crate::sys::thread_pointer::thread_mark;

/// What is known of the end of a thread.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Watch {
    None,
    Watched,
    /// The destructor has run. It may not run again, so this thread gets no mark any more.
    Ending,
}

thread_local! {
    static WATCH: Cell<Watch> = const { Cell::new(Watch::None) };
}

/// The key plus 1; 0 before the first handle of this process or an ancestor.
static KEY: AtomicU64 = AtomicU64::new(0);

/// glibc allocates memory for a value under a key from this number on (the second level of its
/// table), which a signal handler must not do. musl and bionic never allocate.
const FIRST_ALLOCATING_KEY: Option<libc::pthread_key_t> =
    if cfg!(target_env = "gnu") { Some(32) } else { None };

/// The caller of [`watch_this_thread`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Allocates memory anyway: it opens a handle.
    MayAllocate,
    /// May be a signal handler.
    MayBeHandler,
}

/// Watches for the end of this thread; returns `true` if its marks will be removed then.
/// Async-signal-safe for a caller that says so.
///
/// If the process has no key left (1024 in glibc), the answer is `false`. So it is for a key from
/// [`FIRST_ALLOCATING_KEY`] on in a thread that has opened no handle. Such threads have no marks.
#[cold]
pub(crate) fn watch_this_thread(caller: Caller) -> bool {
    match WATCH.get() {
        Watch::Watched => return true,
        Watch::Ending => return false,
        Watch::None => {}
    }
    if caller == Caller::MayAllocate {
        create_key();
    }
    // Partner: the swap in `create_key`. Relaxed: one number.
    let Some(key) = key_of(KEY.load(Relaxed)) else { return false };
    let allocates = FIRST_ALLOCATING_KEY.is_some_and(|first| key >= first);
    if allocates && caller == Caller::MayBeHandler {
        return false;
    }
    // Any value but null makes the destructor run.
    let value: *const c_void = NonNull::dangling().as_ptr();
    // SAFETY: a key of ours, which is never deleted; the value is never followed.
    if unsafe { libc::pthread_setspecific(key, value) } != 0 {
        return false;
    }
    // A thread that ended without its destructor may have left its marks.
    anchor::remove_marks_of(thread_mark());
    WATCH.set(Watch::Watched);
    true
}

/// Makes the key, unless there is one.
fn create_key() {
    // Partner: the swap below. Relaxed: one number.
    if KEY.load(Relaxed) != 0 {
        return;
    }
    let mut key: libc::pthread_key_t = 0;
    // SAFETY: a valid pointer; the destructor may run on any thread, and does not unwind.
    if unsafe { libc::pthread_key_create(&raw mut key, Some(on_thread_end)) } != 0 {
        return;
    }
    // Partner: itself, by another thread that opens its first handle.
    if KEY.compare_exchange(0, number_of(key), Relaxed, Relaxed).is_err() {
        // SAFETY: made above, and not used.
        unsafe { libc::pthread_key_delete(key) };
    }
}

/// Returns the content of [`KEY`] for a key. The type of a key has 32 bits, with or without a sign.
#[allow(clippy::cast_sign_loss, clippy::unnecessary_cast, reason = "depends on the C library")]
const fn number_of(key: libc::pthread_key_t) -> u64 {
    key as u32 as u64 + 1
}

/// Returns the key, if there is one.
#[allow(clippy::cast_possible_truncation, reason = "made of 32 bits by `number_of`")]
#[allow(clippy::cast_possible_wrap, clippy::unnecessary_cast, reason = "as above")]
fn key_of(number: u64) -> Option<libc::pthread_key_t> {
    number.checked_sub(1).map(|key| key as u32 as libc::pthread_key_t)
}

/// Deletes the key when the program ends, or when dlclose(3) unloads the library that has this
/// code: a thread that ends later must not run it.
#[used]
#[unsafe(link_section = ".fini_array")]
static AT_UNLOADING: extern "C" fn() = delete_key;

extern "C" fn delete_key() {
    // Partner: as in `create_key`.
    if let Some(key) = key_of(KEY.swap(0, Relaxed)) {
        // SAFETY: a key of ours.
        unsafe { libc::pthread_key_delete(key) };
    }
}

/// Runs on each watched thread when it ends.
extern "C" fn on_thread_end(_: *mut c_void) {
    WATCH.set(Watch::Ending); // first: a signal handler that locks now sets no mark
    compiler_fence(SeqCst); // partner: `watch_this_thread` in such a handler
    anchor::remove_marks_of(thread_mark());
}
