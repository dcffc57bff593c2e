//! Acquires a ticket lock, and passes parties that are proven dead.

#![allow(unsafe_code, reason = "exports symbols by their names and takes pointers from C")]

use core::ffi::c_void;

use shmlock_core::Token;
use shmlock_core::wait::{self, Wait, WaitAction};

use crate::acquire::{Callback, WaitFn};
use crate::proof::{IsDeadFn, Proof};
use crate::status::Status;
use crate::ticket::{party, with};
use crate::ticket_handle::{TicketHandle, Tickets, of_each};

/// Acquires the lock behind a handle.
///
/// # Errors
/// [`Status::Busy`], [`Status::NestingTooDeep`], and those of [`with`].
///
/// # Safety
/// The contract of [`TicketHandle`].
unsafe fn acquire(
    lock: *mut TicketHandle,
    wait: &mut dyn Wait,
    proof: &mut Proof,
) -> Result<Status, Status> {
    let acquire = |tickets: &mut Tickets| acquire_in(tickets, wait, proof);
    // SAFETY: guaranteed by the caller.
    unsafe { with(lock, acquire) }
}

fn acquire_in(tickets: &Tickets, wait: &mut dyn Wait, proof: &mut Proof) -> Result<Status, Status> {
    of_each!(tickets, lock => {
        lock.acquire_or_recover(wait, proof)?;
        Ok(if lock.owner_died() { Status::OwnerDied } else { Status::Ok })
    })
}

/// Acquires the lock if it is free or already held by this handle. It may fail, too, if another
/// party tries at the same time.
///
/// Never blocks; async-signal-safe; only the party itself.
///
/// Holds nest: each acquisition needs one release.
///
/// Returns `SHMLOCK_CORE_STATUS_OK` or `_OWNER_DIED`: acquired. Not acquired: `_BUSY`;
/// `_NESTING_TOO_DEEP`; `_NULL`, `_MISALIGNED`, `_NOT_ATTACHED`, `_IN_USE`.
///
/// # Safety
/// For `lock`: see `shmlock_core_ticket_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_ticket_try_acquire(lock: *mut TicketHandle) -> Status {
    // SAFETY: guaranteed by the caller; without a callback.
    unsafe { shmlock_core_ticket_acquire(lock, 0, None, core::ptr::null_mut()) }
}

/// Acquires the lock, calling `wait(context, ..)` after each look at a party in the way, at most
/// `waits` times. Without a callback (NULL) it spins. First come, first served. A party that has
/// been buried (`shmlock_core_ticket_bury`) is passed.
///
/// In the callback's argument, `owner` is the party in the way, and `word` is a word that this
/// party will change. `shmlock_core_set_waiters` changes nothing: the callback sleeps for an
/// interval, or until the releasing party rings (`shmlock_core_ticket_has_waiters`).
///
/// **The callback does not fork**, nor a signal handler that interrupts the call: the child would
/// give up the place of its parent, and then two owners are possible.
///
/// Blocks as long as `wait` does, `waits` times; async-signal-safe if `wait` is; only the party
/// itself.
///
/// Returns the same as `shmlock_core_ticket_try_acquire`.
///
/// # Safety
/// For `lock`: see `shmlock_core_ticket_t`. `wait` is NULL, or meets `shmlock_core_wait_fn` and
/// accepts `context`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_ticket_acquire(
    lock: *mut TicketHandle,
    waits: u32,
    wait: WaitFn,
    context: *mut c_void,
) -> Status {
    let mut wait = Callback::new(waits, wait, context);
    // SAFETY: guaranteed by the caller.
    unsafe { acquire(lock, &mut wait, &mut Proof::none()) }.into()
}

/// Acquires the lock as `shmlock_core_ticket_acquire` does, and passes the parties that
/// `is_dead(proof_context, party)` proves dead. If a dead party held the lock, the result is
/// `SHMLOCK_CORE_STATUS_OWNER_DIED`.
///
/// After each wait, `is_dead` is asked about the party in the way. So each dead party takes a wait,
/// or two if it died while it drew its number. The proof may end with the call of `is_dead`: a
/// party that starts again afterwards is not robbed, but waits for this one. Nothing is stored for
/// the dead party: other waiters need a proof of their own, or a burial
/// (`shmlock_core_ticket_bury`).
///
/// **The owner record of the dead party can be read until this call returns**: `is_dead` may call
/// `shmlock_core_ticket_inspect`. Neither callback uses the handle (`SHMLOCK_CORE_STATUS_IN_USE`),
/// and neither forks.
///
/// Blocks as long as `wait` and `is_dead` do, `waits` times; async-signal-safe if both are; only
/// the party itself.
///
/// Returns the same as `shmlock_core_ticket_try_acquire`; `_NULL`, too, without `is_dead`.
///
/// # Safety
/// That of `shmlock_core_ticket_acquire`. `is_dead` is NULL, or meets `shmlock_core_is_dead_fn` and
/// accepts `proof_context`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_ticket_acquire_or_recover(
    lock: *mut TicketHandle,
    is_dead: IsDeadFn,
    proof_context: *mut c_void,
    waits: u32,
    wait: WaitFn,
    context: *mut c_void,
) -> Status {
    let acquire = || {
        let is_dead = is_dead.ok_or(Status::Null)?;
        let mut wait = Callback::probing(waits, wait, context);
        // SAFETY: guaranteed by the caller.
        unsafe { acquire(lock, &mut wait, &mut Proof::by(is_dead, proof_context)) }
    };
    acquire().into()
}

/// Probes one party whenever it is in the way, without waiting, and gives up at any other.
struct ProbeOf(Token);

impl Wait for ProbeOf {
    fn wait(&mut self, contention: &mut wait::WaitContext<'_>) -> WaitAction {
        if contention.seen().owner() == Some(self.0) {
            WaitAction::Probe
        } else {
            WaitAction::GiveUp
        }
    }
}

/// Acquires the lock if it is free, already held by this handle, or only the party `dead` is in the
/// way, **which the caller knows to be dead**.
///
/// The proof is the caller's: a core held in reset, a process that `waitpid` has returned. From
/// before the call until after it, the party stays dead and its stores have ended: the core is not
/// started. A wrong proof makes two owners. (The proof of a callback may be shorter:
/// `shmlock_core_ticket_acquire_or_recover`.)
///
/// The owner record of the dead party can be read before the call, by
/// `shmlock_core_ticket_inspect`.
///
/// Never blocks; async-signal-safe; only the party itself.
///
/// Returns the same as `shmlock_core_ticket_try_acquire`: `SHMLOCK_CORE_STATUS_OWNER_DIED` if
/// `dead` held the lock, or if the data was not declared consistent after an earlier death; `_BUSY`
/// if another party is in the way. `_BAD_PARTY` if the lock has no party `dead`.
///
/// # Safety
/// For `lock`: see `shmlock_core_ticket_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_ticket_take_over(
    lock: *mut TicketHandle,
    dead: u32,
) -> Status {
    let take_over = |tickets: &mut Tickets| {
        let dead = party(dead)?;
        if dead.get() > tickets.parties() {
            return Err(Status::BadParty);
        }
        let dead = Token::from_static(dead);
        acquire_in(tickets, &mut ProbeOf(dead), &mut Proof::of(dead))
    };
    // SAFETY: guaranteed by the caller.
    unsafe { with(lock, take_over) }.into()
}
