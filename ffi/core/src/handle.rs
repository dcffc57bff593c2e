//! Defines the handle, and checks each call on it: attached, not in use, not in a forked child. The
//! handle of a ticket lock is checked by the same functions.

#![allow(unsafe_code, reason = "a Rust value lies in memory that C provides")]

use core::mem::{MaybeUninit, align_of, size_of};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering, Ordering::Relaxed, compiler_fence};

use shmlock_core::{FenceScope, RegionLock};

use crate::fork::ForkCheck;
use crate::pointer::checked;
use crate::status::Status;

/// The lock behind a handle. The caller guarantees that its region is valid: `'static`.
pub(crate) type Lock = RegionLock<'static, FenceScope>;

/// A handle: one contender of one lock. A handle of zero bytes is not attached. The fields are
/// private to the library.
///
/// All functions treat a `shmlock_core_t *` in the same way, beside the contracts at the head of
/// this file:
///
/// * NULL and misaligned pointers are errors. Any other pointer points to a `shmlock_core_t` that
///   was initialised to zero, as a static is, or attached by `shmlock_core_attach`.
/// * One thread, task or core uses a handle at a time. Passing it to another takes the same
///   synchronisation as passing any other data.
/// * An attached handle is neither copied nor moved. A copy returns
///   `SHMLOCK_CORE_STATUS_NOT_ATTACHED`.
/// * A call during another call, from its wait callback or from a signal handler that interrupts
///   it, returns `SHMLOCK_CORE_STATUS_IN_USE` and changes nothing. Therefore every function is
///   async-signal-safe if the wait callback is.
/// * The region outlives the handle, or the handle is detached first.
#[repr(C)]
pub struct Handle {
    state: u32,
    busy: u32,
    // Larger than `Content`, which may grow without a change of this struct.
    space: [MaybeUninit<u64>; 24],
}

/// A kind of lock that a handle can be attached to.
pub(crate) trait Attached {
    /// Combined with the handle's own address, the `state` of a handle that is attached to this
    /// kind. Arbitrary except for two bits that are clear in the aligned address of a handle. Bit 1
    /// is set: so the result is never zero. Bit 0 is another one for each of the two kinds: so a
    /// copy is never taken for a handle of the other kind.
    const MARK: u32;
}

impl Attached for Lock {
    const MARK: u32 = 0x53_48_4C_6A;
}

/// The content of `space` in an attached handle.
struct Content<L> {
    lock: L,
    fork: ForkCheck,
}

impl<L> Content<L> {
    const FITS: () = assert!(
        size_of::<Self>() <= 24 * size_of::<u64>() && align_of::<Self>() <= align_of::<u64>()
    );
}

/// The value of `busy` during a call.
const IN_USE: u32 = 1;
/// The value of `busy` between calls.
const IDLE: u32 = 0;

impl Handle {
    /// Returns a handle that is not attached.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: 0, busy: 0, space: [const { MaybeUninit::uninit() }; 24] }
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

/// Attaches `handle` to `lock`, whatever it was before.
///
/// # Safety
/// `handle` points to a `Handle` that no other code accesses meanwhile.
pub(crate) unsafe fn attach<L: Attached>(handle: NonNull<Handle>, lock: L) {
    let () = Content::<L>::FITS;
    // SAFETY: guaranteed by the caller.
    let content = unsafe { content_of::<L>(handle) };
    // SAFETY:
    // - Large and aligned enough for a `Content`: asserted above.
    // - Writable: guaranteed by the caller.
    unsafe { content.write(Content { lock, fork: ForkCheck::NONE }) };
    // SAFETY: guaranteed by the caller.
    let busy = unsafe { busy_of(handle) };
    // Partner: the load in `with`. Relaxed: the same thread.
    busy.store(IDLE, Relaxed);
    // SAFETY: guaranteed by the caller.
    let state = unsafe { state_of(handle) };
    // Partner: the loads in `with`. Relaxed: the same thread, or one that was passed the handle.
    state.store(attached_at::<L>(handle), Relaxed);
}

/// Calls `act` with the lock behind a handle. Refuses a call during another call, and in a forked
/// child.
///
/// # Errors
/// [`Status::Null`], [`Status::Misaligned`], [`Status::NotAttached`], [`Status::InUse`],
/// [`Status::Forked`], and those of `act`. If the process forks during `act`, the child receives
/// `Forked`, whatever `act` did there.
///
/// # Safety
/// The contract of [`Handle`].
pub(crate) unsafe fn with<R>(
    handle: *const Handle,
    act: impl FnOnce(&mut Lock, ForkCheck) -> Result<R, Status>,
) -> Result<R, Status> {
    // SAFETY: guaranteed by the caller.
    unsafe { with_kind(handle, act) }
}

/// Calls `act` as [`with`] does, for any kind of lock. A handle of another kind is not attached.
///
/// # Errors
/// Those of [`with`].
///
/// # Safety
/// The contract of [`Handle`].
pub(crate) unsafe fn with_kind<L: Attached, R>(
    handle: *const Handle,
    act: impl FnOnce(&mut L, ForkCheck) -> Result<R, Status>,
) -> Result<R, Status> {
    let handle = checked(handle)?;
    // SAFETY: checked, and otherwise guaranteed by the caller.
    let state = unsafe { state_of(handle) };
    // SAFETY: as above.
    let busy = unsafe { busy_of(handle) };
    // Partner: the stores in `attach` and `detach`. Relaxed: the same thread, or one that was
    // passed the handle.
    let is_attached = || state.load(Relaxed) == attached_at::<L>(handle);
    if !is_attached() {
        return Err(Status::NotAttached);
    }
    // SAFETY: as above.
    let content = unsafe { content_of::<L>(handle) };
    // SAFETY: inside the `Content` that `attach` stored: the state says so, and a copy of the
    // handle has another state.
    let fork = unsafe { &raw mut (*content).fork };
    // SAFETY: as above; a copy, so no reference to it exists.
    let fork = unsafe { fork.read() };
    if fork.is_in_child() {
        return Err(Status::Forked);
    }
    // Partner: the stores below. Relaxed: a signal handler on this thread; another thread uses the
    // handle only after it was passed on.
    if busy.load(Relaxed) != IDLE {
        return Err(Status::InUse);
    }
    busy.store(IN_USE, Relaxed); // partner: the load above, in a callback or a signal handler
    // Partner: such a handler. It sees IN_USE before any change of the lock.
    compiler_fence(Ordering::SeqCst);
    // A signal handler between that load and that store has completed its calls. It may have
    // detached the handle.
    if !is_attached() {
        busy.store(IDLE, Relaxed); // partner: as above
        return Err(Status::NotAttached);
    }
    // SAFETY: inside the `Content`, as above.
    let lock = unsafe { &raw mut (*content).lock };
    // SAFETY: the only reference: one thread uses the handle, and `busy` refuses nested calls.
    let lock = unsafe { &mut *lock };
    let result = act(lock, fork);
    compiler_fence(Ordering::SeqCst); // partner: as above; it sees all changes before IDLE
    busy.store(IDLE, Relaxed); // partner: as above
    if fork.is_in_child() { Err(Status::Forked) } else { result }
}

/// Replaces the fork check of the handle.
///
/// # Errors
/// Those of [`with`].
///
/// # Safety
/// The contract of [`with`].
pub(crate) unsafe fn set_fork_check(
    handle: *mut Handle,
    fork: ForkCheck,
) -> Result<Status, Status> {
    let set = |_: &mut Lock, _: ForkCheck| {
        // SAFETY: an attached handle: checked by `with`.
        let content = unsafe { content_of::<Lock>(checked(handle)?) };
        // SAFETY: inside the `Content` that `attach` stored.
        let field = unsafe { &raw mut (*content).fork };
        // SAFETY: as above; no reference to it exists.
        unsafe { field.write(fork) };
        Ok(Status::Ok)
    };
    // SAFETY: guaranteed by the caller.
    unsafe { with(handle, set) }
}

/// Calls `act` with the lock behind a handle, then detaches the handle, whatever `act` returned.
///
/// # Errors
/// Those of [`with`]. The handle stays attached if `act` was not called.
///
/// # Safety
/// The contract of [`with`].
pub(crate) unsafe fn detach<L: Attached, R>(
    handle: *mut Handle,
    act: impl FnOnce(&mut L) -> Result<R, Status>,
) -> Result<R, Status> {
    let act_and_detach = |lock: &mut L, _: ForkCheck| {
        let result = act(lock);
        // SAFETY: an attached handle: checked by `with`. The lock is not dropped: `act` has
        // released it, and it has no other resources.
        let state = unsafe { state_of(checked(handle)?) };
        state.store(0, Relaxed); // partner: the loads in `with`, by the same thread
        result
    };
    // SAFETY: guaranteed by the caller.
    unsafe { with_kind(handle, act_and_detach) }
}

/// Returns the `state` of an attached handle at this address.
fn attached_at<L: Attached>(handle: NonNull<Handle>) -> u32 {
    // The low half of the address is enough to tell a copy from its original.
    #[allow(clippy::cast_possible_truncation, reason = "the low half is meant")]
    let address = handle.addr().get() as u32;
    L::MARK ^ address
}

/// Returns the address of `space`.
///
/// # Safety
/// `handle` points to a `Handle`.
unsafe fn content_of<L>(handle: NonNull<Handle>) -> *mut Content<L> {
    // SAFETY: inside the `Handle` that the caller guarantees.
    let space = unsafe { &raw mut (*handle.as_ptr()).space };
    space.cast()
}

/// Returns `state` as an atomic.
///
/// # Safety
/// `handle` points to a `Handle` for as long as the result is used.
unsafe fn state_of<'h>(handle: NonNull<Handle>) -> &'h AtomicU32 {
    // SAFETY: inside the `Handle` that the caller guarantees.
    let state = unsafe { &raw mut (*handle.as_ptr()).state };
    // SAFETY: an aligned `u32` that is accessed through this function only.
    unsafe { AtomicU32::from_ptr(state) }
}

/// Returns `busy` as an atomic.
///
/// # Safety
/// That of [`state_of`].
unsafe fn busy_of<'h>(handle: NonNull<Handle>) -> &'h AtomicU32 {
    // SAFETY: inside the `Handle` that the caller guarantees.
    let busy = unsafe { &raw mut (*handle.as_ptr()).busy };
    // SAFETY: an aligned `u32` that is accessed through this function only.
    unsafe { AtomicU32::from_ptr(busy) }
}
