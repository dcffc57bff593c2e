//! Buries a dead party of a ticket lock, by a proof of the caller's.

#![allow(unsafe_code, reason = "exports a symbol by its name and takes pointers from C")]

use core::ffi::c_void;
use core::num::NonZeroU16;

use shmlock_core::fence::FullSystem;

use crate::proof::{IsDeadFn, Proof};
use crate::status::Status;
use crate::ticket::party;
use crate::ticket_handle::{Place, by_parties};

/// Buries a party of the ticket lock of `N` parties at a place.
///
/// # Errors
/// Those of [`Place::region`]; [`Status::BadParty`]; [`Status::NotDead`].
///
/// # Safety
/// That of [`Place::region`].
unsafe fn bury_in<const N: usize>(
    place: Place,
    party: NonZeroU16,
    mut proof: Proof,
) -> Result<Status, Status> {
    // SAFETY: guaranteed by the caller.
    let region = unsafe { place.region::<N>() }?;
    // The strongest fence replaces that of any scope.
    let buried = region.bury(party, FullSystem, &mut proof)?;
    if buried { Ok(Status::Ok) } else { Err(Status::NotDead) }
}

/// Buries a party of the ticket lock of `parties` in the `len` bytes at `address`, if
/// `is_dead(context, party)` returns `true`: the others do not wait for it any more, until it
/// begins another life. If it died in its critical section, the next owner receives
/// `SHMLOCK_CORE_STATUS_OWNER_DIED`.
///
/// **A party has one supervisor, and only that one calls this for it.** It need not keep the party
/// from starting again: if the party starts during the call, the burial is of a life that is over.
/// A wrong proof makes two owners. It needs no handle. Memory that is all zero becomes a lock.
///
/// Blocks as long as `is_dead` does; async-signal-safe if it is.
///
/// Returns `SHMLOCK_CORE_STATUS_OK`: buried; `_NOT_DEAD`; `_NULL`, also without a callback;
/// `_MISALIGNED`, `_TOO_SHORT`, `_NOT_A_LOCK`, `_OTHER_VERSION`, `_OTHER_PARTIES`, `_BAD_PARTIES`,
/// `_BAD_PARTY`. An error buries nothing.
///
/// # Safety
/// For the memory: that of `shmlock_core_ticket_attach`, until the call returns. `is_dead` is NULL,
/// or meets `shmlock_core_is_dead_fn` and accepts `context`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_ticket_bury(
    address: *mut c_void,
    len: usize,
    parties: u32,
    party: u32,
    is_dead: IsDeadFn,
    context: *mut c_void,
) -> Status {
    let bury = || {
        let is_dead = is_dead.ok_or(Status::Null)?;
        let party = self::party(party)?;
        let bury = by_parties!(parties, bury_in);
        // SAFETY: guaranteed by the caller.
        unsafe { bury(Place { address, len }, party, Proof::by(is_dead, context)) }
    };
    bury().into()
}
