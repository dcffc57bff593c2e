//! Grows or writes a file without interruption by signals, and without SIGXFSZ.
//!
//! Two signals disturb such a call. Any signal with a handler ends it with `EINTR`: tmpfs checks
//! for signals at each page that it allocates. A call beyond the limit on file sizes
//! (`RLIMIT_FSIZE`, setrlimit(2)) fails with `EFBIG` and also raises SIGXFSZ, which kills the
//! program. So the calling thread blocks its signals meanwhile, and removes the SIGXFSZ that the
//! call itself has raised. A SIGXFSZ of another origin is delivered afterwards.

#![allow(unsafe_code, reason = "pending signals exist in libc only")]

use std::mem::MaybeUninit;
use std::ptr::null_mut;

use rustix::io::{Errno, retry_on_intr};

use crate::sys::signal_mask;

/// Runs a system call that grows or writes a file.
pub(crate) fn undisturbed<T>(call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    signal_mask::with_all_blocked(|| {
        let was_pending = is_pending();
        // Blocked or not: a stop or a debugger interrupts the call, too.
        let result = retry_on_intr(call);
        if matches!(result, Err(Errno::FBIG)) {
            discard_ours(was_pending);
        }
        result
    })
}

/// Removes one pending SIGXFSZ. `was_pending`: another one was pending before the call, and must
/// stay pending.
///
/// The kernel sends the call's signal to the thread, and sigtimedwait(2) takes the thread's before
/// those of the process. A signal that is pending already is not queued again. Then the two have
/// become one, which is sent again.
fn discard_ours(was_pending: bool) {
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let set = signal_mask::set_of([libc::SIGXFSZ]);
    // SAFETY: a valid set and time; null: no information is wanted.
    let taken =
        unsafe { libc::sigtimedwait(&raw const set, null_mut(), &raw const now) } == libc::SIGXFSZ;
    if taken && was_pending && !is_pending() {
        // SAFETY: always succeeds, and refers to the calling thread.
        let this_thread = unsafe { libc::pthread_self() };
        // SAFETY: this thread exists, and so does the signal.
        unsafe { libc::pthread_kill(this_thread, libc::SIGXFSZ) };
    }
}

/// Returns `true` if SIGXFSZ is pending for this thread or for the process.
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
