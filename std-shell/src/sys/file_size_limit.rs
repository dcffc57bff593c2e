//! Calls that grow or write a file, which signals neither interrupt nor answer.
//!
//! Two things may happen to such a call. Any signal with a handler ends it by `EINTR`: tmpfs asks
//! for signals at each page that it allocates. And a call beyond the limit on file sizes
//! (`RLIMIT_FSIZE`, setrlimit(2)) is answered not only by `EFBIG` but by SIGXFSZ as well, which
//! kills the program. So signals are held back in the calling thread meanwhile, and the SIGXFSZ
//! that the call itself has raised is taken away. One of another origin is delivered afterwards.

#![allow(unsafe_code, reason = "pending signals exist in libc only")]

use std::mem::MaybeUninit;
use std::ptr::null_mut;

use rustix::io::{Errno, retry_on_intr};

use crate::sys::signal_mask;

/// Runs a system call that grows or writes a file.
pub(crate) fn undisturbed<T>(call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    signal_mask::with_all_blocked(|| {
        let anothers = is_pending();
        // Held back or not, a stop or a debugger interrupts it.
        let result = retry_on_intr(call);
        if matches!(result, Err(Errno::FBIG)) {
            take_ours(anothers);
        }
        result
    })
}

/// Takes SIGXFSZ away, once; `anothers`: there was one already, which is to stay.
///
/// The kernel sends ours to the thread, and `sigtimedwait(2)` takes the thread's before those of
/// the process. A signal that is pending already is not sent a second time: then ours and the other
/// were one, and that is sent again.
fn take_ours(anothers: bool) {
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let set = signal_mask::set_of([libc::SIGXFSZ]);
    // SAFETY: a valid set and time, and null where no information is wanted.
    let taken =
        unsafe { libc::sigtimedwait(&raw const set, null_mut(), &raw const now) } == libc::SIGXFSZ;
    if taken && anothers && !is_pending() {
        // SAFETY: always succeeds, and refers to the calling thread.
        let this_thread = unsafe { libc::pthread_self() };
        // SAFETY: this thread exists, and so does the signal.
        unsafe { libc::pthread_kill(this_thread, libc::SIGXFSZ) };
    }
}

/// Whether SIGXFSZ is pending for this thread or for the process.
fn is_pending() -> bool {
    let mut pending = MaybeUninit::uninit();
    // SAFETY: an empty set is written first, so that the result is defined whatever the next call
    // does.
    unsafe { libc::sigemptyset(pending.as_mut_ptr()) };
    // SAFETY: a valid pointer.
    unsafe { libc::sigpending(pending.as_mut_ptr()) };
    // SAFETY: initialised by sigemptyset.
    let pending = unsafe { pending.assume_init() };
    // SAFETY: a valid set, and a signal that exists.
    unsafe { libc::sigismember(&raw const pending, libc::SIGXFSZ) == 1 }
}
