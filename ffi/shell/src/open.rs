//! Opens, copies and closes handles.

#![allow(unsafe_code, reason = "exports symbols by their names and takes pointers from C")]

use std::ffi::c_char;
use std::os::unix::ffi::OsStrExt;

use crate::error::{Failure, Fault, answer};
use crate::handle::{self, Lock, Used};
use crate::options::{self, Options};
use crate::pointer::{checked, write};
use crate::status::Status;
use crate::text;

/// Opens the lock of this name, and creates it if it does not exist. The lock is not acquired.
///
/// Every program of this user that opens the name shares the lock; `mode` and `directory` in the
/// options admit other users. `options` is NULL for the defaults. Blocks only while another handle
/// is just being closed, for at most `open_timeout_ns`. Not async-signal-safe; a cancellation
/// point. Needs one descriptor for as long as the handle lives.
///
/// Returns `SHMLOCK_STATUS_OK`; `_NULL`, `_MISALIGNED`, `_ALREADY_OPEN`, `_IN_USE`; `_BAD_OPTIONS`,
/// `_BAD_TEXT`, `_NOT_OPEN` (the event), `_INVALID_NAME`, `_DESCRIPTION_TOO_LONG`, `_INVALID_MODE`;
/// `_SYSTEM`, `_UNSUPPORTED`, `_NOT_A_LOCK`, `_OTHER_DATA`, `_FOREIGN_OWNER`, `_MODE_TOO_WIDE`,
/// `_OPEN_TIMED_OUT`. After an error nothing is changed or left behind.
///
/// # Safety
/// For `lock`: see `shmlock_t`. `name` is NULL or a string. Unless it is refused, `options` points
/// to as many bytes as its size says, whose pointers are NULL or valid. For `error`: see
/// `shmlock_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_open(
    lock: *mut Lock,
    name: *const c_char,
    options: *const Options,
    error: *mut Failure,
) -> Status {
    let open = || {
        // SAFETY: guaranteed by the caller.
        let used = unsafe { Used::begin_closed(lock) }?;
        // SAFETY: guaranteed by the caller.
        let opened = unsafe { options::builder(name, options) }?.open()?;
        used.open(opened);
        Ok(Status::Ok)
    };
    // SAFETY: guaranteed by the caller.
    unsafe { answer(error, open) }
}

/// Opens `copy` as another handle of the lock behind `lock`, with the same options: another
/// contender, for another thread.
///
/// Blocks as `shmlock_open` does; not async-signal-safe; a cancellation point.
///
/// Returns what `shmlock_open` returns for `copy`; `SHMLOCK_STATUS_NOT_OPEN`, `_IN_USE`, `_FORKED`
/// for `lock`.
///
/// # Safety
/// For `lock` and `copy`: see `shmlock_t`. For `error`: see `shmlock_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_clone(
    lock: *const Lock,
    copy: *mut Lock,
    error: *mut Failure,
) -> Status {
    let clone = |lock: &shmlock::ShmLock| {
        // SAFETY: guaranteed by the caller.
        let used = unsafe { Used::begin_closed(copy) }?;
        used.open(lock.try_clone()?);
        Ok(Status::Ok)
    };
    // SAFETY: guaranteed by the caller.
    unsafe { handle::with(lock, error, clone) }
}

/// Closes a handle, and releases its holds. The last handle on the machine removes the lock's file.
///
/// Waits for a fork(3) of another thread, for a second at most. Not async-signal-safe; a
/// cancellation point. The handle is closed whatever is returned, except `SHMLOCK_STATUS_NULL`,
/// `_MISALIGNED`, `_NOT_OPEN` and `_IN_USE`, and can be opened again.
///
/// Returns `SHMLOCK_STATUS_OK`; `_OVERWRITTEN`; `_FORKED` in a child: it leaves the parent's lock
/// alone.
///
/// # Safety
/// For `lock`: see `shmlock_t`. For `error`: see `shmlock_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_close(lock: *mut Lock, error: *mut Failure) -> Status {
    let close = || {
        // SAFETY: guaranteed by the caller.
        let lock = unsafe { handle::take(lock) }?;
        Ok(lock.close().map(|()| Status::Ok)?)
    };
    // SAFETY: guaranteed by the caller.
    unsafe { answer(error, close) }
}

/// Writes the path of the lock's file into the `len` bytes at `buffer`, with a NUL. Unless it is
/// NULL, `needed` gets the length with the NUL, also if the buffer is too small.
///
/// Never blocks; async-signal-safe if `error` is NULL.
///
/// Returns `SHMLOCK_STATUS_OK`; `_BUFFER_TOO_SMALL`; `_NULL`, `_MISALIGNED`, `_NOT_OPEN`,
/// `_IN_USE`.
///
/// # Safety
/// For `lock`: see `shmlock_t`. `buffer` is NULL or has `len` writable bytes; `needed` is NULL or
/// points to a `size_t`. For `error`: see `shmlock_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_path(
    lock: *const Lock,
    buffer: *mut c_char,
    len: usize,
    needed: *mut usize,
    error: *mut Failure,
) -> Status {
    let path = |lock: &shmlock::ShmLock| {
        let path = lock.path().as_os_str().as_bytes();
        if !needed.is_null() {
            // SAFETY: guaranteed by the caller.
            unsafe { write(needed, path.len() + 1) }?;
        }
        if len <= path.len() {
            return Err(Status::BufferTooSmall.into());
        }
        let buffer = checked(buffer)?.cast::<u8>().as_ptr();
        // SAFETY: `len` bytes are writable, which are more than these; they are the caller's.
        unsafe { std::ptr::copy_nonoverlapping(path.as_ptr(), buffer, path.len()) };
        // SAFETY: the byte behind them is writable as well.
        let end = unsafe { buffer.add(path.len()) };
        // SAFETY: as above.
        unsafe { end.write(0) };
        Ok(Status::Ok)
    };
    // SAFETY: guaranteed by the caller.
    unsafe { handle::with(lock, error, path) }
}

/// Changes what others read of this handle while it holds the lock: at most 63 bytes of UTF-8.
///
/// Never blocks; not async-signal-safe.
///
/// Returns `SHMLOCK_STATUS_OK`; `_BAD_TEXT`, `_DESCRIPTION_TOO_LONG`, `_FORKED`; `_NULL`,
/// `_MISALIGNED`, `_NOT_OPEN`, `_IN_USE`. Nothing is changed after an error.
///
/// # Safety
/// For `lock`: see `shmlock_t`. `description` is NULL or a string. For `error`: see
/// `shmlock_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_describe(
    lock: *const Lock,
    description: *const c_char,
    error: *mut Failure,
) -> Status {
    let describe = |lock: &shmlock::ShmLock| -> Result<Status, Fault> {
        // SAFETY: guaranteed by the caller.
        let description = unsafe { text::name(description) }?;
        Ok(lock.set_description(description).map(|()| Status::Ok)?)
    };
    // SAFETY: guaranteed by the caller.
    unsafe { handle::with(lock, error, describe) }
}
