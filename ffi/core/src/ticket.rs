//! Attaches a handle to a ticket lock: for memory on which compare-and-swap does not work between
//! the parties. Begins a life, and detaches the handle.

#![allow(unsafe_code, reason = "exports symbols by their names and takes pointers from C")]

use core::ffi::c_void;
use core::num::NonZeroU16;

use shmlock_core::Error;
use shmlock_core::layout::REGION_LEN;
use shmlock_core::ticket::layout;

use crate::fence_scope::scope;
use crate::fork::ForkCheck;
use crate::handle;
use crate::pointer::checked;
use crate::status::Status;
use crate::ticket_handle::{Place, TicketHandle, Tickets, of_each};

/// The bytes of a ticket lock for each party, behind the first `SHMLOCK_CORE_REGION_LEN`. All zero
/// is a free lock.
pub const SHMLOCK_CORE_TICKET_LINE_LEN: usize = 64;
/// The fewest parties of a ticket lock.
pub const SHMLOCK_CORE_TICKET_PARTIES_MIN: u32 = 2;
/// The most parties of a ticket lock.
pub const SHMLOCK_CORE_TICKET_PARTIES_MAX: u32 = 8;

// `cbindgen` reads numbers but does not calculate.
const _: () = assert!(
    SHMLOCK_CORE_TICKET_LINE_LEN == layout::LINE_LEN
        && SHMLOCK_CORE_TICKET_PARTIES_MIN as usize == layout::PARTIES_MIN
        && SHMLOCK_CORE_TICKET_PARTIES_MAX as usize == layout::PARTIES_MAX
        && layout::ticket_len(3) == REGION_LEN + 3 * SHMLOCK_CORE_TICKET_LINE_LEN
);

/// Returns the party of this number.
///
/// # Errors
/// [`Status::BadParty`].
pub(crate) fn party(number: u32) -> Result<NonZeroU16, Status> {
    u16::try_from(number).ok().and_then(NonZeroU16::new).ok_or(Status::BadParty)
}

/// Attaches `lock` to the `len` bytes at `address`, a ticket lock of `parties`, as the party
/// `party`. It holds nothing yet.
///
/// A ticket lock needs loads, stores and barriers only. It is for memory on which compare-and-swap
/// does not work between the parties: many uncached mappings, RAM between different cores. The
/// memory has `SHMLOCK_CORE_REGION_LEN` bytes, and `SHMLOCK_CORE_TICKET_LINE_LEN` more for each
/// party. If it is all zero, the magic word is written, and nothing else. The previous content of
/// `lock` is overwritten; detach a handle before attaching it again.
///
/// **Give each party its own number** from 1 to `parties`: each core, each operating system. All of
/// them use the same `parties`, 2 to 8, and the same `fence_scope`; between bus masters
/// `SHMLOCK_CORE_FULL_SYSTEM`.
///
/// Never blocks; async-signal-safe; any caller.
///
/// Returns `SHMLOCK_CORE_STATUS_OK`, `_NULL`, `_MISALIGNED`, `_TOO_SHORT`, `_NOT_A_LOCK`,
/// `_OTHER_VERSION`, `_OTHER_PARTIES`, `_BAD_PARTIES`, `_BAD_PARTY`, `_BAD_SCOPE`. An error leaves
/// the handle and the memory unchanged.
///
/// # Safety
/// `lock` points to a `shmlock_core_ticket_t` that no other code uses meanwhile. Unless the address
/// is refused, `len` bytes at it are readable and writable until the handle is detached, and are
/// accessed by 32-bit atomic loads and stores only. (Foreign *values* there can harm nothing but
/// the lock.) If they are a mapped file, it is not truncated.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_ticket_attach(
    lock: *mut TicketHandle,
    address: *mut c_void,
    len: usize,
    parties: u32,
    party: u32,
    fence_scope: u32,
) -> Status {
    let attach = || {
        let lock = checked(lock)?;
        let scope = scope(fence_scope)?;
        let party = self::party(party)?;
        // SAFETY: guaranteed by the caller, for as long as the handle is attached.
        let tickets = unsafe { Tickets::of(Place { address, len }, parties, party, scope) }?;
        // SAFETY: not NULL and aligned: checked; the rest is guaranteed by the caller.
        unsafe { handle::attach(lock.cast(), tickets) };
        Ok(Status::Ok)
    };
    attach().into()
}

/// Calls `act` with the lock behind a handle.
///
/// # Errors
/// Those of [`handle::with_kind`].
///
/// # Safety
/// The contract of [`TicketHandle`].
pub(crate) unsafe fn with<R>(
    lock: *const TicketHandle,
    act: impl FnOnce(&mut Tickets) -> Result<R, Status>,
) -> Result<R, Status> {
    // SAFETY: guaranteed by the caller; a `TicketHandle` begins with its `Handle`.
    unsafe { handle::with_kind(lock.cast(), |tickets: &mut Tickets, _: ForkCheck| act(tickets)) }
}

/// Begins a new life of this party: clears what an earlier one left in the lock. If that one died
/// in its critical section, the next owner receives `SHMLOCK_CORE_STATUS_OWNER_DIED`.
///
/// Call it at boot, before other parties have to wait for this one. The first acquisition of a
/// handle does it otherwise.
///
/// Never blocks; async-signal-safe; only the party itself.
///
/// Returns `SHMLOCK_CORE_STATUS_OK`; `_ALREADY_HELD`; `_NULL`, `_MISALIGNED`, `_NOT_ATTACHED`,
/// `_IN_USE`.
///
/// # Safety
/// For `lock`: see `shmlock_core_ticket_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_ticket_begin_life(lock: *mut TicketHandle) -> Status {
    let begin = |tickets: &mut Tickets| Ok(of_each!(tickets, lock => lock.recover())?);
    // SAFETY: guaranteed by the caller.
    unsafe { with(lock, begin) }.map(|_: bool| Status::Ok).into()
}

/// Releases every hold of a handle and detaches it.
///
/// Never blocks; async-signal-safe; only the party itself.
///
/// Returns `SHMLOCK_CORE_STATUS_OK`; `_NULL`, `_MISALIGNED`, `_NOT_ATTACHED`, `_IN_USE`: nothing
/// was changed.
///
/// # Safety
/// For `lock`: see `shmlock_core_ticket_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_ticket_detach(lock: *mut TicketHandle) -> Status {
    let release_all = |tickets: &mut Tickets| {
        loop {
            match of_each!(tickets, lock => lock.release()) {
                Ok(()) => {}
                Err(Error::NotHeld) => return Ok(Status::Ok),
                Err(error) => return Err(error.into()),
            }
        }
    };
    // SAFETY: guaranteed by the caller.
    unsafe { handle::detach(lock.cast(), release_all) }.into()
}
