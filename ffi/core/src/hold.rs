//! Releases the lock, and does what only its owner may do.

#![allow(unsafe_code, reason = "exports symbols by their names and takes pointers from C")]

use crate::handle::{self, Handle};
use crate::pointer::{checked, write};
use crate::status::Status;

/// Releases one hold. After the last release, the lock is free.
///
/// Never blocks; async-signal-safe; only the contender that uses the handle. If there are waiters,
/// it sends an event to ARM cores that wait by `wfe`. Other wakes are up to the caller: see
/// `shmlock_core_owes_wake`.
///
/// Returns `SHMLOCK_CORE_STATUS_OK`; `_NOT_HELD`; `_OVERWRITTEN`; `_NULL`, `_MISALIGNED`,
/// `_NOT_ATTACHED`, `_IN_USE`, `_FORKED`.
///
/// # Safety
/// For `lock`: see `shmlock_core_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_release(lock: *mut Handle) -> Status {
    // SAFETY: guaranteed by the caller.
    unsafe { handle::with(lock, |lock, _| Ok(lock.release().map(|()| Status::Ok)?)) }.into()
}

/// Returns `true` if the last release of this handle, or a later acquire that gave up, owes a wake
/// to a waiter: one that has called `shmlock_core_set_waiters`, or sleeps in the futex of the
/// Linux library.
///
/// Then wake one of them: `futex(2)` with `FUTEX_WAKE` on the region's first word, a task
/// notification, an interrupt to the other core. Without such means, do nothing: sleeping waiters
/// retry after their own interval.
///
/// Never blocks; async-signal-safe; only the contender that uses the handle. Returns `false` for a
/// handle that is not attached, in use, or the parent's.
///
/// # Safety
/// For `lock`: see `shmlock_core_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_owes_wake(lock: *const Handle) -> bool {
    // SAFETY: guaranteed by the caller.
    unsafe { handle::with(lock, |lock, _| Ok(lock.owes_wake())) }.unwrap_or(false)
}

/// Returns `true` if this handle has acquired the lock and the owner word still names it. Returns
/// `false` for a handle that is not attached, in use, or the parent's.
///
/// Never blocks; async-signal-safe; only the contender that uses the handle.
///
/// # Safety
/// For `lock`: see `shmlock_core_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_is_held(lock: *const Handle) -> bool {
    // SAFETY: guaranteed by the caller.
    unsafe { handle::with(lock, |lock, _| Ok(lock.is_held())) }.unwrap_or(false)
}

/// Writes to `number` the fencing token of the current hold. It grows with every acquisition of
/// this lock by any contender. Pass it to the protected resource, which can then refuse a late
/// owner.
///
/// Never blocks; async-signal-safe; only the contender that uses the handle.
///
/// Returns `SHMLOCK_CORE_STATUS_OK`; `_NOT_HELD`; `_NULL`, `_MISALIGNED`, `_NOT_ATTACHED`,
/// `_IN_USE`, `_FORKED`.
///
/// # Safety
/// For `lock`: see `shmlock_core_t`. Unless it is refused, `number` points to a `uint64_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_fencing_token(
    lock: *const Handle,
    number: *mut u64,
) -> Status {
    let fencing_token = || {
        checked(number)?;
        // SAFETY: guaranteed by the caller.
        let token =
            unsafe { handle::with(lock, |lock, _| lock.fencing_token().ok_or(Status::NotHeld)) }?;
        // SAFETY: guaranteed by the caller.
        unsafe { write(number, token) }?;
        Ok(Status::Ok)
    };
    fencing_token().into()
}

/// Declares the protected data consistent after a death: later owners do not receive
/// `SHMLOCK_CORE_STATUS_OWNER_DIED` any more.
///
/// Never blocks; async-signal-safe; only the contender that uses the handle, while it holds the
/// lock.
///
/// Returns `SHMLOCK_CORE_STATUS_OK`; `_NOT_HELD`; `_OVERWRITTEN`: the hold stays counted; `_NULL`,
/// `_MISALIGNED`, `_NOT_ATTACHED`, `_IN_USE`, `_FORKED`.
///
/// # Safety
/// For `lock`: see `shmlock_core_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_declare_consistent(lock: *mut Handle) -> Status {
    // SAFETY: guaranteed by the caller.
    unsafe { handle::with(lock, |lock, _| Ok(lock.declare_consistent().map(|()| Status::Ok)?)) }
        .into()
}
