//! What a handle is, and who may use it when.

#![allow(unsafe_code, reason = "a Rust value lives in memory that C provides")]

use core::mem::{MaybeUninit, align_of, size_of};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use shmlock_core::{FenceScope, RegionLock};

use crate::pointer::checked;
use crate::status::Status;

/// What is behind a handle. Its region is `'static` by the caller's promise.
pub(crate) type Lock = RegionLock<'static, FenceScope>;

/// A handle: one contender of one lock. Zero is a handle that is not attached. Its fields are nobody's but the library's.
///
/// What every function demands of a `shmlock_t *`, and does with it:
///
/// * NULL and misaligned pointers are errors. Any other pointer leads to a `shmlock_t` that has been zero, as a static is,
///   or has been attached by `shmlock_attach`.
/// * One thread, task or core uses a handle at a time. Handing it over from one to another takes what the two use to hand
///   over anything else.
/// * A handle is neither copied nor moved while attached. A copy answers `SHMLOCK_STATUS_NOT_ATTACHED`.
/// * A call from within another, by its wait callback or by a signal handler that interrupts it, answers
///   `SHMLOCK_STATUS_IN_USE` and changes nothing. So every function is async-signal-safe, but for what a wait callback does.
/// * The region outlives the handle, or the handle is detached first.
#[repr(C)]
pub struct Handle {
    state: u32,
    reserved: u32,
    // More than today's `Lock` needs: it may grow without a change of this struct.
    space: [MaybeUninit<u64>; 24],
}

const _: () = assert!(size_of::<Lock>() <= 24 * size_of::<u64>() && align_of::<Lock>() <= align_of::<u64>());

/// What `state` is made of: this, the handle's own address, and whether a call is under way. Arbitrary, but for its bit 1:
/// no address of a handle has it, for it is aligned, so the state of an attached handle is never zero.
const ATTACHED: u32 = 0x53_48_4C_6A;
/// Another bit that no address of a handle has.
const IN_USE: u32 = 1;

impl Handle {
    /// A handle that is not attached.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: 0, reserved: 0, space: [const { MaybeUninit::uninit() }; 24] }
    }
}

impl Default for Handle {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for Handle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// Makes `handle` the home of `lock`, whatever it has been.
///
/// # Safety
/// `handle` leads to a `Handle`, which nobody else accesses meanwhile.
pub(crate) unsafe fn settle(handle: NonNull<Handle>, lock: Lock) {
    // SAFETY: inside the `Handle` that the caller promises.
    let space = unsafe { &raw mut (*handle.as_ptr()).space };
    // SAFETY: large and aligned enough for a `Lock`, by the assertion above; writable, as promised.
    unsafe { space.cast::<Lock>().write(lock) };
    // SAFETY: as promised.
    let state = unsafe { state_of(handle) };
    state.store(attached(handle), Relaxed); // partner: `enter` by the same thread; other threads are handed the handle
}

/// Runs `act` on the lock behind a handle; whoever comes again meanwhile is told [`Status::InUse`].
///
/// # Errors
/// [`Status::Null`], [`Status::Misaligned`], [`Status::NotAttached`], [`Status::InUse`], and those of `act`.
///
/// # Safety
/// What [`Handle`] says of a `shmlock_t *`.
pub(crate) unsafe fn with<R>(
    handle: *const Handle,
    act: impl FnOnce(&mut Lock) -> Result<R, Status>,
) -> Result<R, Status> {
    let handle = checked(handle)?;
    // SAFETY: checked, and otherwise promised by the caller.
    let state = unsafe { state_of(handle) };
    // Relaxed: other threads are handed the handle. A signal handler between this load and the store runs to its end there
    // and leaves the handle as it was.
    match state.load(Relaxed) ^ attached(handle) {
        0 => {}
        IN_USE => return Err(Status::InUse),
        _ => return Err(Status::NotAttached),
    }
    state.store(attached(handle) | IN_USE, Relaxed); // partner: the load above, by a callback or a signal handler
    // SAFETY: inside the `Handle` that the caller promises.
    let space = unsafe { &raw mut (*handle.as_ptr()).space };
    // SAFETY:
    // - `settle` put a `Lock` there, and nobody has taken it out: the state says so, and is no other handle's.
    // - nobody else has a reference to it: one thread uses the handle, and `IN_USE` keeps it from coming in twice.
    let lock = unsafe { &mut *space.cast::<Lock>() };
    let answer = act(lock);
    state.store(attached(handle), Relaxed); // partner: as above
    answer
}

/// Takes the lock out of the handle, which is attached no more.
///
/// # Errors
/// As [`with`].
///
/// # Safety
/// As [`with`].
pub(crate) unsafe fn unsettle(handle: *mut Handle) -> Result<Lock, Status> {
    // SAFETY: promised by the caller.
    let lock = unsafe { with(handle, |lock| Ok(NonNull::from(lock))) }?;
    // SAFETY: a `Lock` by `with`. It is read once: the store below makes the handle one without a lock.
    let lock = unsafe { lock.read() };
    // SAFETY: a handle, as `with` found.
    let state = unsafe { state_of(checked(handle)?) };
    state.store(0, Relaxed); // partner: `with`, by the same thread
    Ok(lock)
}

/// What `state` is in an attached handle at this address.
fn attached(handle: NonNull<Handle>) -> u32 {
    // The low half of the address will do: it is to tell a copy from its original.
    #[allow(clippy::cast_possible_truncation, reason = "the low half is meant")]
    let address = handle.addr().get() as u32;
    ATTACHED ^ address
}

/// # Safety
/// `handle` leads to a `Handle` for as long as the result is used.
unsafe fn state_of<'h>(handle: NonNull<Handle>) -> &'h AtomicU32 {
    // SAFETY: inside the `Handle` that the caller promises.
    let state = unsafe { &raw mut (*handle.as_ptr()).state };
    // SAFETY: an aligned `u32`, which everybody accesses by this function alone.
    unsafe { AtomicU32::from_ptr(state) }
}
