//! Defines the handle, and checks each call on it: open, and not in use.

#![allow(unsafe_code, reason = "a struct of the caller's refers to a Rust value on the heap")]

use std::ffi::c_void;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU32, Ordering, Ordering::Relaxed, compiler_fence};

use shmlock::ShmLock;

use crate::error::{Failure, Fault, report};
use crate::guarded::guarded;
use crate::pointer::checked;
use crate::status::Status;

/// A handle: one contender of one lock. Initialise it with `SHMLOCK_INIT`, which is zero, and open
/// it. The fields are private to the library.
///
/// All functions treat a `shmlock_t *` in the same way, beside the contracts at the head of this
/// file:
///
/// * NULL and misaligned pointers are errors. Any other pointer points to a `shmlock_t` that was
///   initialised to zero, as a static is, or opened, or closed.
/// * An open handle is neither copied nor moved. A copy returns `SHMLOCK_STATUS_NOT_OPEN`, as a
///   closed handle does.
/// * One thread at a time uses a handle; passing it to another takes the same synchronisation as
///   passing any other data. A call during another call, from a callback or from a signal handler
///   that interrupts it, returns `SHMLOCK_STATUS_IN_USE` and changes nothing. So does most often a
///   call that another thread makes by mistake.
/// * In a forked child, every call that needs the lock returns `SHMLOCK_STATUS_FORKED` and changes
///   nothing of the parent's.
#[repr(C)]
pub struct Lock {
    state: u32,
    busy: u32,
    content: *mut c_void,
    reserved: [u64; 2],
}

/// Combined with the handle's own address, the `state` of an open handle. Arbitrary except for bit
/// 1, which is clear in the aligned address of a handle: so the result is never zero.
const OPEN: u32 = 0x53_48_4C_76;

/// The value of `state` while the handle is not open.
const CLOSED: u32 = 0;

/// The value of `busy` during a call.
const IN_USE: u32 = 1;
/// The value of `busy` between calls.
const IDLE: u32 = 0;

impl Lock {
    /// Returns a handle that is not open.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: CLOSED, busy: IDLE, content: null_mut(), reserved: [0; 2] }
    }
}

impl Default for Lock {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Lock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lock").finish_non_exhaustive()
    }
}

/// A handle that a call is using. Its drop ends the use.
pub(crate) struct Used {
    handle: NonNull<Lock>,
}

impl Used {
    /// Begins a call on a handle, open or not.
    ///
    /// # Errors
    /// [`Status::Null`], [`Status::Misaligned`], [`Status::InUse`].
    ///
    /// # Safety
    /// The contract of [`Lock`].
    #[inline]
    unsafe fn begin(handle: *const Lock) -> Result<Self, Status> {
        let handle = checked(handle)?;
        // SAFETY: checked, and otherwise guaranteed by the caller.
        let busy = unsafe { busy_of(handle) };
        // Partner: the stores below. Relaxed: a signal handler on this thread; another thread uses
        // the handle only after it was passed on.
        if busy.load(Relaxed) != IDLE {
            return Err(Status::InUse);
        }
        busy.store(IN_USE, Relaxed); // partner: the load above, in a callback or a signal handler
        // Partner: such a handler. It sees IN_USE before any change.
        compiler_fence(Ordering::SeqCst);
        Ok(Self { handle })
    }

    /// Begins a call on an open handle.
    ///
    /// # Errors
    /// Those of [`begin`](Self::begin); [`Status::NotOpen`].
    ///
    /// # Safety
    /// The contract of [`Lock`].
    #[inline]
    unsafe fn begin_open(handle: *const Lock) -> Result<Self, Status> {
        // SAFETY: guaranteed by the caller.
        let used = unsafe { Self::begin(handle) }?;
        if used.is_open() { Ok(used) } else { Err(Status::NotOpen) }
    }

    /// Begins to open a handle.
    ///
    /// # Errors
    /// Those of [`begin`](Self::begin); [`Status::AlreadyOpen`].
    ///
    /// # Safety
    /// The contract of [`Lock`].
    pub(crate) unsafe fn begin_closed(handle: *const Lock) -> Result<Self, Status> {
        // SAFETY: guaranteed by the caller.
        let used = unsafe { Self::begin(handle) }?;
        if used.is_open() { Err(Status::AlreadyOpen) } else { Ok(used) }
    }

    #[inline]
    fn is_open(&self) -> bool {
        // SAFETY: checked by `begin`, whose caller guarantees the rest.
        let state = unsafe { state_of(self.handle) };
        // Partner: the stores of `open` and `take`, relaxed: the same thread, or one that was
        // passed the handle.
        state.load(Relaxed) == opened_at(self.handle)
    }

    /// Returns the lock of an open handle.
    #[inline]
    fn lock(&self) -> &ShmLock {
        // SAFETY: inside the `Lock` that the caller of `begin` guarantees.
        let lock = unsafe { &raw const (*self.handle.as_ptr()).content };
        // SAFETY: as above; written by `open` only, of this thread or one that passed the handle.
        let lock = unsafe { lock.read() };
        // SAFETY: made by `open` from a box, and not freed before `take`: the state said so, and a
        // copy of the handle has another state. It is shared with no other thread.
        unsafe { &*lock.cast::<ShmLock>() }
    }

    /// Opens the handle with this lock.
    pub(crate) fn open(self, lock: ShmLock) {
        // SAFETY: inside the `Lock` that the caller of `begin_closed` guarantees.
        let place = unsafe { &raw mut (*self.handle.as_ptr()).content };
        // SAFETY: as above; the handle is not open, so no call reads it.
        unsafe { place.write(Box::into_raw(Box::new(lock)).cast()) };
        // SAFETY: as above.
        let state = unsafe { state_of(self.handle) };
        compiler_fence(Ordering::SeqCst); // partner: a signal handler that sees the state
        state.store(opened_at(self.handle), Relaxed); // partner: the load in `is_open`
    }

    /// Closes the handle, and returns its lock.
    fn take(self) -> Box<ShmLock> {
        let lock = std::ptr::from_ref(self.lock()).cast_mut();
        // SAFETY: checked by `begin`, whose caller guarantees the rest.
        let state = unsafe { state_of(self.handle) };
        state.store(CLOSED, Relaxed); // partner: the load in `is_open`
        compiler_fence(Ordering::SeqCst); // partner: a signal handler that sees the state
        // SAFETY: made from a box by `open`; no call finds it any more, and no reference is left.
        unsafe { Box::from_raw(lock) }
    }
}

impl Drop for Used {
    #[inline]
    fn drop(&mut self) {
        compiler_fence(Ordering::SeqCst); // partner: as in `begin`; it sees all changes before IDLE
        // SAFETY: checked by `begin`, whose caller guarantees the rest.
        let busy = unsafe { busy_of(self.handle) };
        busy.store(IDLE, Relaxed); // partner: the load in `begin`
    }
}

/// Calls `act` with the lock behind a handle, and reports its error.
///
/// # Errors
/// [`Status::Null`], [`Status::Misaligned`], [`Status::InUse`], [`Status::NotOpen`], and those of
/// `act`.
///
/// # Safety
/// The contracts of [`Lock`] and of [`Failure`].
#[inline]
pub(crate) unsafe fn with(
    handle: *const Lock,
    error: *mut Failure,
    act: impl FnOnce(&ShmLock) -> Result<Status, Fault>,
) -> Status {
    guarded(|| {
        // SAFETY: guaranteed by the caller.
        let used = unsafe { Used::begin_open(handle) };
        let fault = match used {
            Ok(used) => match act(used.lock()) {
                Ok(status) => return status,
                Err(fault) => fault,
            },
            Err(status) => status.into(),
        };
        // SAFETY: guaranteed by the caller.
        unsafe { report(&fault, error) }
    })
}

/// Closes a handle, and returns its lock. From here on the handle is not open.
///
/// # Errors
/// [`Status::Null`], [`Status::Misaligned`], [`Status::InUse`], [`Status::NotOpen`].
///
/// # Safety
/// The contract of [`Lock`].
pub(crate) unsafe fn take(handle: *mut Lock) -> Result<Box<ShmLock>, Status> {
    // SAFETY: guaranteed by the caller.
    unsafe { Used::begin_open(handle) }.map(Used::take)
}

/// Returns the `state` of a handle that is open at this address.
#[inline]
fn opened_at(handle: NonNull<Lock>) -> u32 {
    // The low half of the address is enough to tell a copy from its original.
    #[allow(clippy::cast_possible_truncation, reason = "the low half is meant")]
    let address = handle.addr().get() as u32;
    OPEN ^ address
}

/// Returns `state` as an atomic.
///
/// # Safety
/// `handle` points to a `Lock` for as long as the result is used.
#[inline]
unsafe fn state_of<'h>(handle: NonNull<Lock>) -> &'h AtomicU32 {
    // SAFETY: inside the `Lock` that the caller guarantees.
    let state = unsafe { &raw mut (*handle.as_ptr()).state };
    // SAFETY: an aligned `u32` that is accessed through this function only.
    unsafe { AtomicU32::from_ptr(state) }
}

/// Returns `busy` as an atomic.
///
/// # Safety
/// That of [`state_of`].
#[inline]
unsafe fn busy_of<'h>(handle: NonNull<Lock>) -> &'h AtomicU32 {
    // SAFETY: inside the `Lock` that the caller guarantees.
    let busy = unsafe { &raw mut (*handle.as_ptr()).busy };
    // SAFETY: an aligned `u32` that is accessed through this function only.
    unsafe { AtomicU32::from_ptr(busy) }
}
