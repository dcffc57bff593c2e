//! Provides the memory of a ticket lock, a handle of it as C uses it, and a list of functions.

use core::ffi::c_void;
use core::ptr::{null, null_mut};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use shmlock_core_c::acquire::WaitFn;
use shmlock_core_c::bury::shmlock_core_ticket_bury;
use shmlock_core_c::fence_scope::SHMLOCK_CORE_FULL_SYSTEM as SCOPE;
use shmlock_core_c::proof::IsDeadFn;
use shmlock_core_c::record::{Holder, Record};
use shmlock_core_c::status::Status;
use shmlock_core_c::ticket::{
    shmlock_core_ticket_attach, shmlock_core_ticket_begin_life, shmlock_core_ticket_detach,
};
use shmlock_core_c::ticket_acquire::{
    shmlock_core_ticket_acquire, shmlock_core_ticket_acquire_or_recover,
    shmlock_core_ticket_take_over, shmlock_core_ticket_try_acquire,
};
use shmlock_core_c::ticket_handle::TicketHandle;
use shmlock_core_c::ticket_hold::{
    shmlock_core_ticket_declare_consistent, shmlock_core_ticket_fencing_token,
    shmlock_core_ticket_has_waiters, shmlock_core_ticket_is_held, shmlock_core_ticket_release,
};
use shmlock_core_c::ticket_record::{shmlock_core_ticket_inspect, shmlock_core_ticket_set_record};

use super::described;

/// Memory for eight parties, and one more word for misaligned accesses.
#[repr(C, align(64))]
pub(crate) struct Tickets(pub(crate) [AtomicU32; 161]);

impl Tickets {
    pub(crate) fn zeroed() -> Self {
        Self([const { AtomicU32::new(0) }; 161])
    }

    pub(crate) fn address(&self) -> *mut c_void {
        self.0.as_ptr().cast_mut().cast()
    }

    pub(crate) fn words(&self) -> Vec<u32> {
        self.0.iter().map(|word| word.load(Relaxed)).collect()
    }

    pub(crate) fn party(&self, parties: u32, number: u32) -> Party {
        let mut party = Party::unattached();
        let len = 128 + 64 * usize::try_from(parties).expect("few");
        assert_eq!(party.attach(self.address(), len, parties, number, SCOPE), Status::Ok);
        party
    }

    pub(crate) fn bury(&self, number: u32, is_dead: IsDeadFn, context: *mut c_void) -> Status {
        // SAFETY: 644 bytes of atomics, and a callback that accepts this context.
        unsafe { shmlock_core_ticket_bury(self.address(), 320, 3, number, is_dead, context) }
    }

    pub(crate) fn inspect(&self) -> Result<Holder, Status> {
        // SAFETY: 644 bytes of atomics.
        unsafe { inspect(self.address(), 320, 3) }
    }
}

pub(crate) type Function = unsafe extern "C" fn(*mut TicketHandle) -> Status;

/// Every function that takes only a handle, and changes it or the lock.
pub(crate) const FUNCTIONS: [Function; 8] = [
    shmlock_core_ticket_begin_life,
    shmlock_core_ticket_try_acquire,
    shmlock_core_ticket_release,
    shmlock_core_ticket_declare_consistent,
    shmlock_core_ticket_detach,
    recover_by_proof,
    take_over_from_two,
    remove_record,
];

unsafe extern "C" fn recover_by_proof(lock: *mut TicketHandle) -> Status {
    unsafe extern "C" fn never(_: *mut c_void, _: u32) -> bool {
        false
    }
    // SAFETY: guaranteed by the caller.
    unsafe {
        shmlock_core_ticket_acquire_or_recover(lock, Some(never), null_mut(), 3, None, null_mut())
    }
}

unsafe extern "C" fn take_over_from_two(lock: *mut TicketHandle) -> Status {
    // SAFETY: guaranteed by the caller.
    unsafe { shmlock_core_ticket_take_over(lock, 2) }
}

unsafe extern "C" fn remove_record(lock: *mut TicketHandle) -> Status {
    // SAFETY: guaranteed by the caller.
    unsafe { shmlock_core_ticket_set_record(lock, null()) }
}

/// A handle as a C program has it: it stays at its address. It is dropped as by a reset.
pub(crate) struct Party(pub(crate) *mut TicketHandle);

impl Drop for Party {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw`, and freed once.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

impl Party {
    pub(crate) fn unattached() -> Self {
        Self(Box::into_raw(Box::default()))
    }

    pub(crate) fn attach(
        &mut self,
        address: *mut c_void,
        len: usize,
        parties: u32,
        party: u32,
        scope: u32,
    ) -> Status {
        // SAFETY: a handle of this thread, and atomics or a refused address.
        unsafe { shmlock_core_ticket_attach(self.0, address, len, parties, party, scope) }
    }

    pub(crate) fn call(&mut self, function: Function) -> Status {
        // SAFETY: a handle of this thread.
        unsafe { function(self.0) }
    }

    pub(crate) fn acquire(&mut self, waits: u32, wait: WaitFn, context: *mut c_void) -> Status {
        // SAFETY: a handle of this thread, and a callback that accepts this context.
        unsafe { shmlock_core_ticket_acquire(self.0, waits, wait, context) }
    }

    pub(crate) fn recover(&mut self, waits: u32, is_dead: IsDeadFn, proof: *mut c_void) -> Status {
        let context = null_mut();
        // SAFETY: a handle of this thread, and a callback that accepts this context.
        unsafe {
            shmlock_core_ticket_acquire_or_recover(self.0, is_dead, proof, waits, None, context)
        }
    }

    pub(crate) fn take_over(&mut self, dead: u32) -> Status {
        // SAFETY: a handle of this thread.
        unsafe { shmlock_core_ticket_take_over(self.0, dead) }
    }

    pub(crate) fn set_record(&mut self, record: *const Record) -> Status {
        // SAFETY: a handle of this thread, and NULL, a misaligned pointer or a record.
        unsafe { shmlock_core_ticket_set_record(self.0, record) }
    }

    pub(crate) fn is_held(&self) -> bool {
        // SAFETY: a handle of this thread.
        unsafe { shmlock_core_ticket_is_held(self.0) }
    }

    pub(crate) fn has_waiters(&self) -> bool {
        // SAFETY: a handle of this thread.
        unsafe { shmlock_core_ticket_has_waiters(self.0) }
    }

    pub(crate) fn fencing_token(&self) -> Result<u64, Status> {
        let mut number = 0;
        // SAFETY: a handle of this thread, and a `u64`.
        match unsafe { shmlock_core_ticket_fencing_token(self.0, &raw mut number) } {
            Status::Ok => Ok(number),
            status => Err(status),
        }
    }
}

/// # Safety
/// That of `shmlock_core_ticket_inspect`.
pub(crate) unsafe fn inspect(
    address: *mut c_void,
    len: usize,
    parties: u32,
) -> Result<Holder, Status> {
    let before = Holder {
        token: 99,
        recoveries: 99,
        owner_died: true,
        recorded: true,
        record: described(b"none"),
    };
    let mut holder = before;
    // SAFETY: guaranteed by the caller; a `Holder`.
    match unsafe { shmlock_core_ticket_inspect(address, len, parties, &raw mut holder) } {
        Status::Ok => Ok(holder),
        status => {
            assert_eq!(holder, before, "an error writes nothing");
            Err(status)
        }
    }
}
