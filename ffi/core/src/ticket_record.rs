//! Reads and sets the owner record of a ticket lock.

#![allow(unsafe_code, reason = "exports symbols by their names and takes pointers from C")]

use core::ffi::c_void;

use crate::pointer::{checked, write};
use crate::record::{Holder, Record, read_record};
use crate::status::Status;
use crate::ticket::with;
use crate::ticket_handle::{Place, TicketHandle, Tickets, by_parties, of_each};

/// What a ticket lock says: its holder, its recoveries, and whether an owner died.
type Found = (Option<shmlock_core::record::Holder>, u32, bool);

/// Returns what the ticket lock of `N` parties at a place says. Only reads.
///
/// # Errors
/// Those of [`Place::existing`].
///
/// # Safety
/// That of [`Place::existing`].
unsafe fn look<const N: usize>(place: Place) -> Result<Found, Status> {
    // SAFETY: guaranteed by the caller.
    let region = unsafe { place.existing::<N>() }?;
    Ok(region.map_or((None, 0, false), |region| {
        (region.holder(), region.recoveries(), region.owner_died())
    }))
}

/// Writes to `holder` the owner of the ticket lock of `parties` in the `len` bytes at `address`,
/// without a handle or a party. Only reads the memory, so a debugger or a supervisor can call it at
/// any time, and an `is_dead` callback during the call that asks it. The result may be out of date
/// when the call returns.
///
/// A dead owner is named until another party holds the lock, and again after that one's release;
/// until it begins another life, or is buried. Its record can be read until another party acquires
/// the lock.
///
/// Never blocks; async-signal-safe; any caller.
///
/// Returns `SHMLOCK_CORE_STATUS_OK`; `_NULL`, `_MISALIGNED`, `_TOO_SHORT`, `_NOT_A_LOCK`,
/// `_OTHER_VERSION`, `_OTHER_PARTIES`, `_BAD_PARTIES`: `holder` is unchanged.
///
/// # Safety
/// Unless the address is refused, `len` bytes at it are readable, and are written by 32-bit
/// accesses only. Unless it is refused, `holder` points to a `shmlock_core_holder`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_ticket_inspect(
    address: *const c_void,
    len: usize,
    parties: u32,
    holder: *mut Holder,
) -> Status {
    let inspect = || {
        checked(holder)?;
        let look = by_parties!(parties, look);
        // SAFETY: guaranteed by the caller.
        let found = unsafe { look(Place { address: address.cast_mut(), len }) }?;
        // Once, not for each number of parties: the record is long.
        let found = Holder::of(found.0.as_ref(), found.1, found.2);
        // SAFETY: guaranteed by the caller.
        unsafe { write(holder, found) }?;
        Ok(Status::Ok)
    };
    inspect().into()
}

/// Sets the owner record of this handle: at once if it holds the lock, and from its next
/// acquisition on. With NULL, others read only the number of its party.
///
/// An acquisition then takes about thirty more stores if another party held the lock meanwhile.
///
/// Never blocks; async-signal-safe; only the party itself.
///
/// Returns `SHMLOCK_CORE_STATUS_OK`; `_BAD_DESCRIPTION`; `_MISALIGNED`; for `lock` `_NULL`,
/// `_MISALIGNED`, `_NOT_ATTACHED`, `_IN_USE`.
///
/// # Safety
/// For `lock`: see `shmlock_core_ticket_t`. `record` is NULL, or refused, or points to a
/// `shmlock_core_record`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_ticket_set_record(
    lock: *mut TicketHandle,
    record: *const Record,
) -> Status {
    let set_record = || {
        // SAFETY: guaranteed by the caller.
        let record = unsafe { read_record(record) }?;
        let set = |tickets: &mut Tickets| {
            of_each!(tickets, lock => lock.set_record(record));
            Ok(Status::Ok)
        };
        // SAFETY: guaranteed by the caller.
        unsafe { with(lock, set) }
    };
    set_record().into()
}
