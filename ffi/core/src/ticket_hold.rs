//! Releases a ticket lock, and does what only its owner may do.

#![allow(unsafe_code, reason = "exports symbols by their names and takes pointers from C")]

use crate::pointer::{checked, write};
use crate::status::Status;
use crate::ticket::with;
use crate::ticket_handle::{TicketHandle, Tickets, of_each};

/// Releases one hold. After the last release, the lock is free.
///
/// Never blocks; async-signal-safe; only the party itself. It wakes no waiter: see
/// `shmlock_core_ticket_has_waiters`.
///
/// Returns `SHMLOCK_CORE_STATUS_OK`; `_NOT_HELD`; `_NULL`, `_MISALIGNED`, `_NOT_ATTACHED`,
/// `_IN_USE`.
///
/// # Safety
/// For `lock`: see `shmlock_core_ticket_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_ticket_release(lock: *mut TicketHandle) -> Status {
    let release = |tickets: &mut Tickets| Ok(of_each!(tickets, lock => lock.release())?);
    // SAFETY: guaranteed by the caller.
    unsafe { with(lock, release) }.map(|()| Status::Ok).into()
}

/// Returns `true` if another party contends now. Asked after a release, it tells whether to ring:
/// an interrupt to the other core, or an event. A dead party contends, too, until it comes back.
///
/// Never blocks; async-signal-safe; only the party itself. Returns `false` for a handle that is not
/// attached or in use.
///
/// # Safety
/// For `lock`: see `shmlock_core_ticket_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_ticket_has_waiters(lock: *const TicketHandle) -> bool {
    let has_waiters = |tickets: &mut Tickets| Ok(of_each!(tickets, lock => lock.has_waiters()));
    // SAFETY: guaranteed by the caller.
    unsafe { with(lock, has_waiters) }.unwrap_or(false)
}

/// Returns `true` if this handle holds the lock. Returns `false` for a handle that is not attached
/// or in use.
///
/// Never blocks; async-signal-safe; only the party itself.
///
/// # Safety
/// For `lock`: see `shmlock_core_ticket_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_ticket_is_held(lock: *const TicketHandle) -> bool {
    let is_held = |tickets: &mut Tickets| Ok(of_each!(tickets, lock => lock.is_held()));
    // SAFETY: guaranteed by the caller.
    unsafe { with(lock, is_held) }.unwrap_or(false)
}

/// Writes to `number` the fencing token of the current hold, as `shmlock_core_fencing_token` does.
///
/// Never blocks; async-signal-safe; only the party itself.
///
/// Returns `SHMLOCK_CORE_STATUS_OK`; `_NOT_HELD`; `_NULL`, `_MISALIGNED`, `_NOT_ATTACHED`,
/// `_IN_USE`.
///
/// # Safety
/// For `lock`: see `shmlock_core_ticket_t`. Unless it is refused, `number` points to a `uint64_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_ticket_fencing_token(
    lock: *const TicketHandle,
    number: *mut u64,
) -> Status {
    let fencing_token = || {
        checked(number)?;
        let token = |tickets: &mut Tickets| {
            of_each!(tickets, lock => lock.fencing_token()).ok_or(Status::NotHeld)
        };
        // SAFETY: guaranteed by the caller.
        let token = unsafe { with(lock, token) }?;
        // SAFETY: guaranteed by the caller.
        unsafe { write(number, token) }?;
        Ok(Status::Ok)
    };
    fencing_token().into()
}

/// Declares the protected data consistent after a death: later owners do not receive
/// `SHMLOCK_CORE_STATUS_OWNER_DIED` any more.
///
/// Never blocks; async-signal-safe; only the party itself, while it holds the lock.
///
/// Returns `SHMLOCK_CORE_STATUS_OK`; `_NOT_HELD`; `_NULL`, `_MISALIGNED`, `_NOT_ATTACHED`,
/// `_IN_USE`.
///
/// # Safety
/// For `lock`: see `shmlock_core_ticket_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_ticket_declare_consistent(lock: *mut TicketHandle) -> Status {
    let declare = |tickets: &mut Tickets| Ok(of_each!(tickets, lock => lock.declare_consistent())?);
    // SAFETY: guaranteed by the caller.
    unsafe { with(lock, declare) }.map(|()| Status::Ok).into()
}
