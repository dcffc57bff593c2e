//! Provides a region as words, a handle as C uses it, records, and lists of functions.

#![allow(dead_code, reason = "each test file uses a part")]
#![allow(unsafe_code, reason = "calls functions for C")]

pub(crate) mod tickets;

use core::ffi::{c_char, c_void};
use core::ptr::{null, null_mut};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use shmlock_core_c::acquire::{
    WaitFn, shmlock_core_acquire, shmlock_core_take_over, shmlock_core_try_acquire,
};
use shmlock_core_c::attach::{shmlock_core_attach, shmlock_core_detach};
use shmlock_core_c::fence_scope::SHMLOCK_CORE_INNER_SHAREABLE;
use shmlock_core_c::handle::Handle;
use shmlock_core_c::hold::{
    shmlock_core_declare_consistent, shmlock_core_fencing_token, shmlock_core_is_held,
};
use shmlock_core_c::hold::{shmlock_core_owes_wake, shmlock_core_release};
use shmlock_core_c::record::{Holder, Record, shmlock_core_inspect, shmlock_core_set_record};
use shmlock_core_c::status::Status;

pub(crate) const WAITERS: u32 = 1 << 31;
pub(crate) const DIED: u32 = 1 << 30;

/// A region, and one more word for misaligned accesses.
#[repr(C, align(64))]
pub(crate) struct Memory(pub(crate) [AtomicU32; 33]);

impl Memory {
    pub(crate) fn zeroed() -> Self {
        Self([const { AtomicU32::new(0) }; 33])
    }

    pub(crate) fn address(&self) -> *mut c_void {
        self.0.as_ptr().cast_mut().cast()
    }

    pub(crate) fn set(&self, offset: usize, value: u32) {
        self.0[offset / 4].store(value, Relaxed);
    }

    pub(crate) fn get(&self, offset: usize) -> u32 {
        self.0[offset / 4].load(Relaxed)
    }

    pub(crate) fn words(&self) -> Vec<u32> {
        self.0.iter().map(|word| word.load(Relaxed)).collect()
    }
}

/// A handle as a C program has it: it stays at its address.
pub(crate) struct User(*mut Handle);

impl Drop for User {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw`, and freed once.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

impl User {
    pub(crate) fn unattached() -> Self {
        Self(Box::into_raw(Box::default()))
    }

    pub(crate) fn of(memory: &Memory, token: u32) -> Self {
        let mut user = Self::unattached();
        // SAFETY: a handle of this thread; the tests do not use it after the memory is gone.
        let status = unsafe {
            shmlock_core_attach(
                user.raw(),
                memory.address(),
                128,
                token,
                SHMLOCK_CORE_INNER_SHAREABLE,
            )
        };
        assert_eq!(status, Status::Ok);
        user
    }

    pub(crate) fn raw(&mut self) -> *mut Handle {
        self.0
    }

    pub(crate) fn call(&mut self, function: unsafe extern "C" fn(*mut Handle) -> Status) -> Status {
        // SAFETY: a handle of this thread.
        unsafe { function(self.raw()) }
    }

    pub(crate) fn acquire(&mut self, waits: u32, wait: WaitFn, context: *mut c_void) -> Status {
        // SAFETY: a handle of this thread, and a callback that accepts this context.
        unsafe { shmlock_core_acquire(self.raw(), waits, wait, context) }
    }

    pub(crate) fn take_over(&mut self, dead: u32) -> Status {
        // SAFETY: a handle of this thread.
        unsafe { shmlock_core_take_over(self.raw(), dead) }
    }

    pub(crate) fn fencing_token(&mut self) -> Result<u64, Status> {
        let mut number = 0;
        // SAFETY: a handle of this thread, and a `u64`.
        match unsafe { shmlock_core_fencing_token(self.raw(), &raw mut number) } {
            Status::Ok => Ok(number),
            status => Err(status),
        }
    }

    pub(crate) fn set_record(&mut self, record: *const Record) -> Status {
        // SAFETY: a handle of this thread, and NULL, a misaligned pointer or a record.
        unsafe { shmlock_core_set_record(self.raw(), record) }
    }

    pub(crate) fn owes_wake(&mut self) -> bool {
        // SAFETY: a handle of this thread.
        unsafe { shmlock_core_owes_wake(self.raw()) }
    }

    pub(crate) fn is_held(&mut self) -> bool {
        // SAFETY: a handle of this thread.
        unsafe { shmlock_core_is_held(self.raw()) }
    }
}

pub(crate) fn described(text: &[u8]) -> Record {
    let mut description = [0; 64];
    for (to, from) in description.iter_mut().zip(text) {
        *to = c_char::from_ne_bytes([*from]);
    }
    Record { since: 1 << 33, pid: 4711, pid_namespace: 3, uuid: [7; 16], description }
}

pub(crate) fn inspect(memory: &Memory) -> Result<Holder, Status> {
    let mut holder = Holder {
        token: 99,
        recoveries: 99,
        owner_died: true,
        recorded: true,
        record: described(b"none"),
    };
    let before = holder;
    // SAFETY: 128 bytes of atomics, and a `Holder`.
    match unsafe {
        shmlock_core_inspect(memory.address(), 128, SHMLOCK_CORE_INNER_SHAREABLE, &raw mut holder)
    } {
        Status::Ok => Ok(holder),
        status => {
            assert_eq!(holder, before, "an error writes nothing");
            Err(status)
        }
    }
}

/// A function that takes only a handle.
pub(crate) type Function = unsafe extern "C" fn(*mut Handle) -> Status;

/// Every function that changes a handle, with fixed other arguments.
pub(crate) const FUNCTIONS: [Function; 7] = [
    shmlock_core_try_acquire,
    shmlock_core_release,
    shmlock_core_declare_consistent,
    shmlock_core_detach,
    acquire_spinning,
    take_over_from_one,
    remove_record,
];

pub(crate) unsafe extern "C" fn acquire_spinning(lock: *mut Handle) -> Status {
    // SAFETY: guaranteed by the caller.
    unsafe { shmlock_core_acquire(lock, 3, None, null_mut()) }
}

pub(crate) unsafe extern "C" fn take_over_from_one(lock: *mut Handle) -> Status {
    // SAFETY: guaranteed by the caller.
    unsafe { shmlock_core_take_over(lock, 1) }
}

pub(crate) unsafe extern "C" fn remove_record(lock: *mut Handle) -> Status {
    // SAFETY: guaranteed by the caller.
    unsafe { shmlock_core_set_record(lock, null()) }
}
