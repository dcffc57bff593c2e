//! Does what only an owner may do, besides releasing.

#![allow(unsafe_code, reason = "exports symbols by their names and takes pointers from C")]

use std::ptr::null_mut;

use shmlock::ShmLock;

use crate::error::Failure;
use crate::handle::{self, Lock};
use crate::pointer::{checked, write};
use crate::status::Status;

/// Returns `true` if this handle holds the lock: by its own count, and by the owner word. Returns
/// `false` for a handle that is not open, in use, or the parent's.
///
/// Never blocks; async-signal-safe.
///
/// # Safety
/// For `lock`: see `shmlock_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_is_held(lock: *const Lock) -> bool {
    let read =
        |lock: &ShmLock| if lock.is_held() { Ok(Status::Ok) } else { Err(Status::NotHeld.into()) };
    // SAFETY: guaranteed by the caller; no details are written.
    unsafe { handle::with(lock, null_mut(), read) == Status::Ok }
}

/// Writes to `token` the fencing token of the present hold: a number that grows with every
/// acquisition of this lock. Pass it to the protected resource, which can then refuse a late owner.
///
/// Never blocks; async-signal-safe if `error` is NULL.
///
/// Returns `SHMLOCK_STATUS_OK`; `_NOT_HELD`; `_NULL`, `_MISALIGNED`, `_NOT_OPEN`, `_IN_USE`.
///
/// # Safety
/// For `lock`: see `shmlock_t`. Unless it is refused, `token` points to a `uint64_t`. For `error`:
/// see `shmlock_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_fencing_token(
    lock: *const Lock,
    token: *mut u64,
    error: *mut Failure,
) -> Status {
    let read = |lock: &ShmLock| {
        checked(token)?;
        let found = lock.fencing_token().ok_or(Status::NotHeld)?;
        // SAFETY: guaranteed by the caller.
        unsafe { write(token, found) }?;
        Ok(Status::Ok)
    };
    // SAFETY: guaranteed by the caller.
    unsafe { handle::with(lock, error, read) }
}

/// Declares the protected data consistent after a death: later owners do not receive
/// `SHMLOCK_STATUS_OWNER_DIED` any more.
///
/// Never blocks.
///
/// Returns `SHMLOCK_STATUS_OK`; `_NOT_HELD`, `_OVERWRITTEN`, `_FORKED`; `_NULL`, `_MISALIGNED`,
/// `_NOT_OPEN`, `_IN_USE`.
///
/// # Safety
/// For `lock`: see `shmlock_t`. For `error`: see `shmlock_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_declare_consistent(
    lock: *mut Lock,
    error: *mut Failure,
) -> Status {
    let declare = |lock: &ShmLock| Ok(lock.declare_consistent().map(|()| Status::Ok)?);
    // SAFETY: guaranteed by the caller.
    unsafe { handle::with(lock, error, declare) }
}
