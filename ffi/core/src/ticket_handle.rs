//! Defines the handle of a ticket lock, and the lock behind it for each number of parties.

#![allow(unsafe_code, reason = "turns an address from C into a ticket lock")]

use core::ffi::c_void;
use core::num::NonZeroU16;
use core::ptr::NonNull;

use shmlock_core::ticket::{TicketPlace, TicketRegion};
use shmlock_core::{Error, FenceScope, TicketLock};

use crate::handle::{Attached, Handle};
use crate::status::Status;

/// A handle of a ticket lock: one party. A handle of zero bytes is not attached. The fields are
/// private to the library.
///
/// All functions treat a `shmlock_core_ticket_t *` as the others treat a `shmlock_core_t *`.
///
/// **One handle of a party is in use at a time.** Two handles of one party do not exclude each
/// other.
#[repr(C)]
#[derive(Debug, Default)]
pub struct TicketHandle {
    handle: Handle,
}

/// The lock behind a handle. The caller guarantees that its memory is valid: `'static`.
pub(crate) enum Tickets {
    Two(Of<2>),
    Three(Of<3>),
    Four(Of<4>),
    Five(Of<5>),
    Six(Of<6>),
    Seven(Of<7>),
    Eight(Of<8>),
}

type Of<const N: usize> = TicketLock<'static, N, FenceScope>;

impl Attached for Tickets {
    const MARK: u32 = 0x54_4B_4C_6B;
}

/// Evaluates an expression with the lock, whatever its number of parties.
macro_rules! of_each {
    ($tickets:expr, $lock:ident => $result:expr) => {
        match $tickets {
            Tickets::Two($lock) => $result,
            Tickets::Three($lock) => $result,
            Tickets::Four($lock) => $result,
            Tickets::Five($lock) => $result,
            Tickets::Six($lock) => $result,
            Tickets::Seven($lock) => $result,
            Tickets::Eight($lock) => $result,
        }
    };
}
pub(crate) use of_each;

/// Chooses a function by the number of parties, which is its parameter. Returns
/// [`Status::BadParties`] as an error from the function around it.
macro_rules! by_parties {
    ($parties:expr, $function:ident) => {
        match $parties {
            2 => $function::<2>,
            3 => $function::<3>,
            4 => $function::<4>,
            5 => $function::<5>,
            6 => $function::<6>,
            7 => $function::<7>,
            8 => $function::<8>,
            _ => return Err(Status::BadParties),
        }
    };
}
pub(crate) use by_parties;

/// The memory of a ticket lock, as C names it.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) address: *mut c_void,
    pub(crate) len: usize,
}

impl Place {
    /// Returns the ticket lock at this place.
    ///
    /// # Errors
    /// [`Status::Null`], [`Status::Misaligned`], [`Status::TooShort`], [`Status::NotALock`],
    /// [`Status::OtherVersion`], [`Status::OtherParties`].
    ///
    /// # Safety
    /// Unless it is refused, the memory is readable and writable for as long as the result is used,
    /// and is accessed by 32-bit atomic operations only.
    pub(crate) unsafe fn region<const N: usize>(self) -> Result<TicketRegion<'static, N>, Status> {
        let address = NonNull::new(self.address.cast()).ok_or(Status::Null)?;
        // SAFETY: guaranteed by the caller.
        let place = unsafe { TicketPlace::from_raw(address, self.len) }?;
        TicketRegion::at(place).map_err(refusal)
    }

    /// Returns the ticket lock at this place, or `None` if the memory is untouched. Only reads.
    ///
    /// # Errors
    /// Those of [`region`](Self::region).
    ///
    /// # Safety
    /// Unless it is refused, the memory is readable for as long as the result is used. It is
    /// written by 32-bit accesses only, and not by way of the result.
    pub(crate) unsafe fn existing<const N: usize>(
        self,
    ) -> Result<Option<TicketRegion<'static, N>>, Status> {
        let address = NonNull::new(self.address.cast()).ok_or(Status::Null)?;
        // SAFETY: guaranteed by the caller; without a store, the memory need not be writable.
        let place = unsafe { TicketPlace::from_raw(address, self.len) }?;
        TicketRegion::existing(place).map_err(refusal)
    }
}

fn refusal(error: Error) -> Status {
    match error {
        // Not the version by which a region with tokens of boots is known.
        Error::OtherVersion { .. } => Status::OtherVersion,
        error => error.into(),
    }
}

impl Tickets {
    /// Returns the lock at a place, for one of its parties.
    ///
    /// # Errors
    /// Those of [`Place::region`]; [`Status::BadParties`], [`Status::BadParty`].
    ///
    /// # Safety
    /// That of [`Place::region`].
    pub(crate) unsafe fn of(
        place: Place,
        parties: u32,
        party: NonZeroU16,
        scope: FenceScope,
    ) -> Result<Self, Status> {
        match parties {
            // SAFETY: guaranteed by the caller.
            2 => unsafe { lock(place, party, scope) }.map(Self::Two),
            // SAFETY: as above.
            3 => unsafe { lock(place, party, scope) }.map(Self::Three),
            // SAFETY: as above.
            4 => unsafe { lock(place, party, scope) }.map(Self::Four),
            // SAFETY: as above.
            5 => unsafe { lock(place, party, scope) }.map(Self::Five),
            // SAFETY: as above.
            6 => unsafe { lock(place, party, scope) }.map(Self::Six),
            // SAFETY: as above.
            7 => unsafe { lock(place, party, scope) }.map(Self::Seven),
            // SAFETY: as above.
            8 => unsafe { lock(place, party, scope) }.map(Self::Eight),
            _ => Err(Status::BadParties),
        }
    }

    /// Returns the number of parties.
    pub(crate) fn parties(&self) -> u16 {
        of_each!(self, lock => parties_of(lock))
    }
}

fn parties_of<const N: usize>(_: &Of<N>) -> u16 {
    TicketRegion::<N>::PARTIES.into()
}

/// Returns the lock of `N` parties at a place.
///
/// # Errors
/// Those of [`Place::region`]; [`Status::BadParty`], before anything is written.
///
/// # Safety
/// That of [`Place::region`].
unsafe fn lock<const N: usize>(
    place: Place,
    party: NonZeroU16,
    scope: FenceScope,
) -> Result<Of<N>, Status> {
    if usize::from(party.get()) > N {
        return Err(Status::BadParty);
    }
    // SAFETY: guaranteed by the caller.
    let region = unsafe { place.region() }?;
    Ok(TicketLock::with_fence(region, party, scope)?)
}
