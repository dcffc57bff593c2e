//! Exports the names of locks and exit events.

#![allow(unsafe_code, reason = "exports symbols by their names and calls functions of C")]

use std::ffi::{CString, c_char, c_void};
use std::path::Path;

use crate::callback::NameFn;
use crate::error::{Failure, Fault, answer};
use crate::status::Status;
use crate::text;

/// Calls `each` with the name of each lock in a directory, sorted. `directory` is NULL for
/// `/dev/shm`. The locks may have users, or be left by dead processes.
///
/// Reads the names of files and opens none. Never blocks; not async-signal-safe; a cancellation
/// point. The directory is read before the first call of `each`.
///
/// Returns `SHMLOCK_STATUS_OK`, also if `each` has ended the list; `_NULL` for `each`; `_SYSTEM`.
///
/// # Safety
/// `directory` is NULL or a string. `each` may be called with `context`. For `error`: see
/// `shmlock_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_list(
    directory: *const c_char,
    each: NameFn,
    context: *mut c_void,
    error: *mut Failure,
) -> Status {
    // SAFETY: guaranteed by the caller.
    let list = || unsafe { list(directory, each, context, |path| shmlock::list_in(path)) };
    // SAFETY: guaranteed by the caller.
    unsafe { answer(error, list) }
}

/// Calls `each` with the name of each exit event in a directory, as `shmlock_list` does for locks.
///
/// # Safety
/// That of `shmlock_list`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_list_events(
    directory: *const c_char,
    each: NameFn,
    context: *mut c_void,
    error: *mut Failure,
) -> Status {
    // SAFETY: guaranteed by the caller.
    let list = || unsafe { list(directory, each, context, |path| shmlock::exit_events_in(path)) };
    // SAFETY: guaranteed by the caller.
    unsafe { answer(error, list) }
}

/// # Safety
/// That of `shmlock_list`.
unsafe fn list(
    directory: *const c_char,
    each: NameFn,
    context: *mut c_void,
    names: impl FnOnce(&Path) -> shmlock::Result<Vec<String>>,
) -> Result<Status, Fault> {
    let each = each.ok_or(Status::Null)?;
    // SAFETY: guaranteed by the caller.
    for name in names(unsafe { text::directory(directory) })? {
        // A name of a file has no NUL.
        let Ok(name) = CString::new(name) else { continue };
        // SAFETY: guaranteed by the caller; the name is valid until the call returns.
        if unsafe { each(context, name.as_ptr()) } != 0 {
            break;
        }
    }
    Ok(Status::Ok)
}
