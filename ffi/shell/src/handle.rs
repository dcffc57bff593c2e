//! Defines the handle, and checks each call on it: open, and not in use.

#![allow(unsafe_code, reason = "a struct of the caller's refers to a Rust value on the heap")]

use std::ffi::c_void;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU32, Ordering, Ordering::Relaxed, compiler_fence};

use shmlock::{ShmLock, process_generation};

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
///   nothing of the parent's. So does every call on a handle that was in use during the fork, by a
///   thread or by the callback that forks. Close it, and open it anew.
#[repr(C)]
pub struct Lock {
    state: u32,
    process: u32,
    content: *mut c_void,
    more: [u64; 2],
}

/// Combined with the handle's own address, the `state` of an open handle between calls. Arbitrary
/// except for bits 0 and 1, which are clear in the aligned address of a handle.
const OPEN: u32 = 0x53_48_4C_76;

/// Combined with the address, the `state` during a call.
const IN_USE: u32 = OPEN | 1;

/// The `state` of a handle that is not open. No other state is zero: bit 1 is set.
const CLOSED: u32 = 0;

impl Lock {
    /// Returns a handle that is not open.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: CLOSED, process: 0, content: null_mut(), more: [0; 2] }
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
    /// The state after the call.
    after: u32,
}

impl Used {
    /// Begins a call on an open handle. Returns its lock as well.
    ///
    /// # Errors
    /// [`Status::Null`], [`Status::Misaligned`], [`Status::NotOpen`], [`Status::InUse`],
    /// [`Status::Forked`].
    ///
    /// # Safety
    /// The contract of [`Lock`].
    #[inline]
    unsafe fn begin(handle: *const Lock) -> Result<(Self, *mut ShmLock), Status> {
        let handle = checked(handle)?;
        // SAFETY: checked, and otherwise guaranteed by the caller.
        let state = unsafe { state_of(handle) };
        // Partner: the stores below and in `drop`. Relaxed: a signal handler on this thread;
        // another thread uses the handle only after it was passed on.
        if state.load(Relaxed) != at(handle, OPEN) {
            // SAFETY: as above.
            return Err(unsafe { refusal(handle, state) });
        }
        state.store(at(handle, IN_USE), Relaxed); // partner: the load above, in a handler
        // Partner: such a handler. It sees the use before any change of the lock.
        compiler_fence(Ordering::SeqCst);
        // SAFETY: inside the `Lock` that the caller guarantees.
        let content = unsafe { &raw const (*handle.as_ptr()).content };
        // SAFETY: as above; written by calls that have ended.
        let content = unsafe { content.read() };
        // A signal handler between that load and that store has ended its calls. It may have closed
        // the handle.
        if content.is_null() {
            state.store(CLOSED, Relaxed); // partner: as above
            return Err(Status::NotOpen);
        }
        Ok((Self { handle, after: at(handle, OPEN) }, content.cast()))
    }

    /// Begins to open a handle.
    ///
    /// # Errors
    /// [`Status::Null`], [`Status::Misaligned`], [`Status::AlreadyOpen`], [`Status::InUse`].
    ///
    /// # Safety
    /// The contract of [`Lock`].
    pub(crate) unsafe fn begin_closed(handle: *const Lock) -> Result<Self, Status> {
        let handle = checked(handle)?;
        // SAFETY: checked, and otherwise guaranteed by the caller.
        let state = unsafe { state_of(handle) };
        let found = state.load(Relaxed); // partner: as in `begin`
        if found == at(handle, IN_USE) {
            // SAFETY: as above.
            let refused = unsafe { refusal(handle, state) };
            return Err(if refused == Status::Forked { Status::AlreadyOpen } else { refused });
        }
        // SAFETY: inside the `Lock` that the caller guarantees.
        let content = unsafe { &raw const (*handle.as_ptr()).content };
        // SAFETY: as above; no call is in progress. A call that goes on after `abandon` leaves the
        // state of an open handle, and nothing in it.
        if found == at(handle, OPEN) && !unsafe { content.read() }.is_null() {
            return Err(Status::AlreadyOpen);
        }
        let mut used = Self { handle, after: CLOSED };
        used.set_process();
        compiler_fence(Ordering::SeqCst); // partner: as in `begin`; `refusal` reads the process
        state.store(at(handle, IN_USE), Relaxed); // partner: as in `begin`
        compiler_fence(Ordering::SeqCst); // partner: as in `begin`
        Ok(used)
    }

    /// Opens the handle with this lock.
    pub(crate) fn open(mut self, lock: ShmLock) {
        self.set_process(); // another number, if there was no memory for its page before
        self.set_content(Box::into_raw(Box::new(lock)).cast());
        self.after = at(self.handle, OPEN);
    }

    /// Closes the handle, whose lock this is.
    fn close(mut self, lock: *mut ShmLock) -> Box<ShmLock> {
        self.set_content(null_mut());
        self.after = CLOSED;
        drop(self);
        // SAFETY: made from a box by `open`; no call finds it any more, and no reference is left.
        unsafe { Box::from_raw(lock) }
    }

    fn set_process(&mut self) {
        // SAFETY: inside the `Lock` that the caller of `begin_closed` guarantees.
        let place = unsafe { &raw mut (*self.handle.as_ptr()).process };
        // SAFETY: as above; no other call is in progress, and none but `refusal` reads it.
        unsafe { place.write(process_generation()) };
    }

    fn set_content(&mut self, content: *mut c_void) {
        // SAFETY: inside the `Lock` that the caller of `begin` guarantees.
        let place = unsafe { &raw mut (*self.handle.as_ptr()).content };
        // SAFETY: as above; the handle is in use, so no other call reads it.
        unsafe { place.write(content) };
    }
}

impl Drop for Used {
    #[inline]
    fn drop(&mut self) {
        compiler_fence(Ordering::SeqCst); // partner: as in `begin`; it sees all changes first
        // SAFETY: checked by `begin`, whose caller guarantees the rest.
        let state = unsafe { state_of(self.handle) };
        state.store(self.after, Relaxed); // partner: the loads of `begin` and `begin_closed`
    }
}

/// Returns why a handle cannot be used.
///
/// # Safety
/// The contract of [`Lock`].
#[cold]
unsafe fn refusal(handle: NonNull<Lock>, state: &AtomicU32) -> Status {
    if state.load(Relaxed) != at(handle, IN_USE) {
        return Status::NotOpen;
    }
    // SAFETY: inside the `Lock` that the caller guarantees.
    let process = unsafe { &raw const (*handle.as_ptr()).process };
    // SAFETY: as above; written before the state.
    let process = unsafe { process.read() };
    // The call is in progress in the parent, and ends there.
    if process == process_generation() { Status::InUse } else { Status::Forked }
}

/// Calls `act` with the lock behind a handle, and reports its error.
///
/// # Errors
/// [`Status::Null`], [`Status::Misaligned`], [`Status::InUse`], [`Status::NotOpen`],
/// [`Status::Forked`], and those of `act`.
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
        let fault = match unsafe { Used::begin(handle) } {
            Ok((_used, lock)) => {
                // SAFETY: made by `Used::open` from a box, and not freed before the handle is
                // closed: its state said so, and a copy of it has another. It is shared with no
                // other thread.
                match act(unsafe { &*lock }) {
                    Ok(status) => return status,
                    Err(fault) => fault,
                }
            }
            Err(status) => status.into(),
        };
        // SAFETY: guaranteed by the caller.
        unsafe { report(&fault, error) }
    })
}

/// Closes a handle, and returns its lock. From here on the handle is not open.
///
/// # Errors
/// [`Status::Null`], [`Status::Misaligned`], [`Status::InUse`], [`Status::NotOpen`];
/// [`Status::Forked`] for a handle that was in use during a fork: it is not open any more either.
///
/// # Safety
/// The contract of [`Lock`].
pub(crate) unsafe fn take(handle: *mut Lock) -> Result<Box<ShmLock>, Status> {
    // SAFETY: guaranteed by the caller.
    let begun = unsafe { Used::begin(handle) };
    if begun.as_ref().is_err_and(|status| *status == Status::Forked) {
        // SAFETY: guaranteed by the caller.
        unsafe { abandon(checked(handle)?) };
    }
    begun.map(|(used, lock)| used.close(lock))
}

/// Closes a handle that was in use during a fork, in the child. Leaks its lock, which a call of the
/// parent was changing, or which the call that has forked still uses.
///
/// # Safety
/// The contract of [`Lock`].
#[cold]
unsafe fn abandon(handle: NonNull<Lock>) {
    let mut used = Used { handle, after: CLOSED };
    used.set_content(null_mut());
}

/// Returns a `state` of the handle at this address: a copy of the handle has another.
#[inline]
fn at(handle: NonNull<Lock>, state: u32) -> u32 {
    // The low half of the address is enough to tell a copy from its original.
    #[allow(clippy::cast_possible_truncation, reason = "the low half is meant")]
    let address = handle.addr().get() as u32;
    state ^ address
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
