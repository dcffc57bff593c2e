//! Acquires and releases the lock. A handle holds it without a guard: a guard is a Rust value with
//! a lifetime, and C has none.

#![allow(unsafe_code, reason = "exports symbols by their names and takes pointers from C")]

use std::time::Duration;

use shmlock::ShmLock;

use crate::error::{Failure, Fault};
use crate::handle::{self, Lock};
use crate::status::Status;

/// Returns the status of an acquisition.
#[inline]
fn acquired(lock: &ShmLock) -> Status {
    if lock.recovered().is_some() { Status::OwnerDied } else { Status::Ok }
}

/// Acquires the lock, waiting for as long as it takes.
///
/// A handle that holds the lock may acquire it again; it is free when each hold was released. A
/// dead owner's lock is recovered, which the status tells: `SHMLOCK_STATUS_OWNER_DIED` **is an
/// acquisition**. Blocks. A wait of a millisecond or more may start a thread, and allocate memory.
/// Not a cancellation point. Not async-signal-safe.
///
/// Returns `SHMLOCK_STATUS_OK`, `_OWNER_DIED`: the lock is held. `_CANCELLED`, `_INTERRUPTED`,
/// `_WOULD_DEADLOCK`, `_POISONED`, `_ORPHANED`, `_FORKED`, `_NESTING_TOO_DEEP`, `_OVERWRITTEN`:
/// nothing was acquired. `_NULL`, `_MISALIGNED`, `_NOT_OPEN`, `_IN_USE`.
///
/// # Safety
/// For `lock`: see `shmlock_t`. For `error`: see `shmlock_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_lock(lock: *mut Lock, error: *mut Failure) -> Status {
    let acquire =
        |lock: &ShmLock| Ok(if lock.acquire_and_tell()? { Status::OwnerDied } else { Status::Ok });
    // SAFETY: guaranteed by the caller.
    unsafe { handle::with(lock, error, acquire) }
}

/// Tries once to acquire the lock. Succeeds if it is free, held by this handle, or held by a dead
/// owner.
///
/// Does not wait for the owner. The recovery of a dead owner's lock waits for a fork(3) of another
/// thread, for a second at most. Async-signal-safe if `error` is NULL, the log is off, and it
/// succeeds or returns `SHMLOCK_STATUS_BUSY`. A handler that acquires the lock releases it before
/// it returns.
///
/// Returns `SHMLOCK_STATUS_OK`, `_OWNER_DIED`: the lock is held. `_BUSY`: another handle holds it.
/// Otherwise what `shmlock_lock` returns.
///
/// # Safety
/// For `lock`: see `shmlock_t`. For `error`: see `shmlock_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_try(lock: *mut Lock, error: *mut Failure) -> Status {
    let acquire = |lock: &ShmLock| {
        if lock.try_acquire()? {
            return Ok(acquired(lock));
        }
        let holder = if error.is_null() { None } else { lock.holder()? };
        Err(Fault::busy(holder))
    };
    // SAFETY: guaranteed by the caller.
    unsafe { handle::with(lock, error, acquire) }
}

/// Acquires the lock, waiting at most so many nanoseconds, by the monotonic clock. Zero is one try.
///
/// Blocks, and may return some tens of microseconds late. A free lock is acquired whatever the
/// timeout. Otherwise as `shmlock_lock`.
///
/// Returns `SHMLOCK_STATUS_TIMED_OUT`, with the holder in `error`; `_BUSY` for a timeout of zero.
/// Otherwise what `shmlock_lock` returns.
///
/// # Safety
/// For `lock`: see `shmlock_t`. For `error`: see `shmlock_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_lock_for(
    lock: *mut Lock,
    nanoseconds: u64,
    error: *mut Failure,
) -> Status {
    let acquire = |lock: &ShmLock| {
        lock.try_acquire_for(Duration::from_nanos(nanoseconds))?;
        Ok(acquired(lock))
    };
    // SAFETY: guaranteed by the caller.
    unsafe { handle::with(lock, error, acquire) }
}

/// Releases one hold. After the last release, the lock is free.
///
/// Never blocks; it may yield the CPU. Async-signal-safe if the log is off and it succeeds.
///
/// Returns `SHMLOCK_STATUS_OK`; `_NOT_HELD`, `_OVERWRITTEN`, `_FORKED`; `_NULL`, `_MISALIGNED`,
/// `_NOT_OPEN`, `_IN_USE`.
///
/// # Safety
/// For `lock`: see `shmlock_t`. For `error`: see `shmlock_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_release(lock: *mut Lock, error: *mut Failure) -> Status {
    let release = |lock: &ShmLock| Ok(lock.release().map(|()| Status::Ok)?);
    // SAFETY: guaranteed by the caller.
    unsafe { handle::with(lock, error, release) }
}

/// Releases all holds of this handle at once. No hold is no error.
///
/// Never blocks; it may yield the CPU. Async-signal-safe if the log is off and it succeeds.
///
/// Returns `SHMLOCK_STATUS_OK`; `_OVERWRITTEN`, `_FORKED`; `_NULL`, `_MISALIGNED`, `_NOT_OPEN`,
/// `_IN_USE`.
///
/// # Safety
/// For `lock`: see `shmlock_t`. For `error`: see `shmlock_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_force_release(lock: *mut Lock, error: *mut Failure) -> Status {
    let release = |lock: &ShmLock| Ok(lock.force_release().map(|_| Status::Ok)?);
    // SAFETY: guaranteed by the caller.
    unsafe { handle::with(lock, error, release) }
}
