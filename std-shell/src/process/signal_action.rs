//! Reads and replaces signal actions by sigaction(2), and saves errno around a handler.

#![allow(unsafe_code, reason = "rustix has no sigaction")]

use std::mem::MaybeUninit;
use std::ptr::{from_ref, null};

use rustix::io::Errno;

/// Returns `SIG_DFL` with an empty mask and no flags.
pub(super) fn default_action() -> libc::sigaction {
    // SAFETY: all zero is a valid `sigaction`, and this one.
    unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() }
}

/// Returns the present action of the signal. Async-signal-safe.
pub(super) fn present(signal: libc::c_int) -> Result<libc::sigaction, Errno> {
    change(signal, None)
}

/// Replaces the action of the signal and returns the former one. Async-signal-safe.
pub(super) fn replace(
    signal: libc::c_int,
    new: &libc::sigaction,
) -> Result<libc::sigaction, Errno> {
    change(signal, Some(new))
}

fn change(signal: libc::c_int, new: Option<&libc::sigaction>) -> Result<libc::sigaction, Errno> {
    let mut former = default_action();
    // SAFETY:
    // - `new` is null or valid for reads, `former` is valid for writes.
    // - a new handler is `on_signal` (async-signal-safe), the default, or the program's own.
    let result = unsafe { libc::sigaction(signal, new.map_or(null(), from_ref), &raw mut former) };
    match result {
        0 => Ok(former),
        _ => Err(Errno::from_raw_os_error(errno())),
    }
}

/// Returns errno of this thread. Async-signal-safe.
pub(super) fn errno() -> libc::c_int {
    // SAFETY: has no preconditions.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the address of this thread's errno is valid while the thread runs.
    unsafe { *place }
}

/// Sets errno of this thread. Async-signal-safe.
pub(super) fn set_errno(value: libc::c_int) {
    // SAFETY: has no preconditions.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the address of this thread's errno is valid while the thread runs.
    unsafe { *place = value };
}
