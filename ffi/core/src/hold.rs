//! What can be done with a lock that one holds.

#![allow(unsafe_code, reason = "exports symbols by their names and takes pointers from C")]

use crate::handle::{self, Handle};
use crate::pointer::{checked, write};
use crate::status::Status;

/// Gives back one hold. When all are given back, the lock is free.
///
/// Never blocks; async-signal-safe; only the contender whose handle it is calls it. ARM cores that
/// wait for an event (`wfe`) are sent one if somebody waits; other wakes are the caller's: see
/// `shmlock_core_owes_wake`.
///
/// Answers `SHMLOCK_CORE_STATUS_OK`; `_NOT_HELD`; `_OVERWRITTEN`; `_NULL`, `_MISALIGNED`,
/// `_NOT_ATTACHED`, `_IN_USE`, `_FORKED`.
///
/// # Safety
/// As every function's, of `lock`: see `shmlock_core_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_release(lock: *mut Handle) -> Status {
    // SAFETY: promised by the caller.
    unsafe { handle::with(lock, |lock, _| Ok(lock.release().map(|()| Status::Ok)?)) }.into()
}

/// Whether the last release of this handle, or the last acquire that gave up if that came later,
/// left somebody to be woken who has marked itself by `shmlock_core_mark_waiting`, or sleeps in the
/// Linux library's futex.
///
/// Wake one of them then: `futex(2)` with `FUTEX_WAKE` on the region's first word, a task
/// notification, an interrupt to the other core. Where there is no such means, leave it: sleepers
/// look again after their own interval.
///
/// Never blocks; async-signal-safe; only the contender whose handle it is calls it. False for a
/// handle that is not attached, in use, or a parent's.
///
/// # Safety
/// As every function's, of `lock`: see `shmlock_core_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_owes_wake(lock: *const Handle) -> bool {
    // SAFETY: promised by the caller.
    unsafe { handle::with(lock, |lock, _| Ok(lock.owes_wake())) }.unwrap_or(false)
}

/// Whether this handle has acquired the lock, and the word names it still. False for a handle that
/// is not attached, in use, or a parent's.
///
/// Never blocks; async-signal-safe; only the contender whose handle it is calls it.
///
/// # Safety
/// As every function's, of `lock`: see `shmlock_core_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_is_held(lock: *const Handle) -> bool {
    // SAFETY: promised by the caller.
    unsafe { handle::with(lock, |lock, _| Ok(lock.is_held())) }.unwrap_or(false)
}

/// Writes to `number` the fencing token of the present hold: it grows with every acquisition of
/// this lock by anybody. Hand it to whatever the lock protects, which can then refuse a late-comer.
///
/// Never blocks; async-signal-safe; only the contender whose handle it is calls it.
///
/// Answers `SHMLOCK_CORE_STATUS_OK`; `_NOT_HELD`; `_NULL`, `_MISALIGNED`, `_NOT_ATTACHED`, `_IN_USE`,
/// `_FORKED`.
///
/// # Safety
/// As every function's, of `lock`: see `shmlock_core_t`. `number` leads to an `uint64_t`, unless it is
/// refused.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_fencing_token(
    lock: *const Handle,
    number: *mut u64,
) -> Status {
    let fencing_token = || {
        checked(number)?;
        // SAFETY: promised by the caller.
        let token =
            unsafe { handle::with(lock, |lock, _| lock.fencing_token().ok_or(Status::NotHeld)) }?;
        // SAFETY: promised by the caller.
        unsafe { write(number, token) }?;
        Ok(Status::Ok)
    };
    fencing_token().into()
}

/// Says that the protected data is consistent again after a death: later owners are not told of it
/// any more.
///
/// Never blocks; async-signal-safe; only the contender whose handle it is calls it, while it holds
/// the lock.
///
/// Answers `SHMLOCK_CORE_STATUS_OK`; `_NOT_HELD`; `_OVERWRITTEN`, and the handle still holds; `_NULL`,
/// `_MISALIGNED`, `_NOT_ATTACHED`, `_IN_USE`, `_FORKED`.
///
/// # Safety
/// As every function's, of `lock`: see `shmlock_core_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_declare_consistent(lock: *mut Handle) -> Status {
    // SAFETY: promised by the caller.
    unsafe { handle::with(lock, |lock, _| Ok(lock.declare_consistent().map(|()| Status::Ok)?)) }
        .into()
}
