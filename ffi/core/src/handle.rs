//! What a handle is, and who may use it when.

#![allow(unsafe_code, reason = "a Rust value lives in memory that C provides")]

use core::mem::{MaybeUninit, align_of, size_of};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering, Ordering::Relaxed, compiler_fence};

use shmlock_core::{FenceScope, RegionLock};

use crate::fork::Fork;
use crate::pointer::checked;
use crate::status::Status;

/// What is behind a handle. Its region is `'static` by the caller's promise.
pub(crate) type Lock = RegionLock<'static, FenceScope>;

/// A handle: one contender of one lock. Zero is a handle that is not attached. Its fields are
/// nobody's but the library's.
///
/// What every function demands of a `shmlock_core_t *`, and does with it, beside the contracts at the
/// head of this file:
///
/// * NULL and misaligned pointers are errors. Any other pointer leads to a `shmlock_core_t` that has
///   been zero, as a static is, or has been attached by `shmlock_core_attach`.
/// * One thread, task or core uses a handle at a time. Handing it over from one to another takes
///   what the two use to hand over anything else.
/// * A handle is neither copied nor moved while attached. A copy answers
///   `SHMLOCK_CORE_STATUS_NOT_ATTACHED`.
/// * A call from within another, by its wait callback or by a signal handler that interrupts it,
///   answers `SHMLOCK_CORE_STATUS_IN_USE` and changes nothing. So every function is async-signal-safe,
///   but for what a wait callback does.
/// * The region outlives the handle, or the handle is detached first.
#[repr(C)]
pub struct Handle {
    state: u32,
    busy: u32,
    // More than today's `Home` needs: it may grow without a change of this struct.
    space: [MaybeUninit<u64>; 24],
}

/// What lives in the space of an attached handle.
struct Home {
    lock: Lock,
    fork: Fork,
}

const _: () =
    assert!(size_of::<Home>() <= 24 * size_of::<u64>() && align_of::<Home>() <= align_of::<u64>());

/// What `state` is made of: this and the handle's own address. Arbitrary, but for its bit 1: no
/// address of a handle has it, for it is aligned, so the state of an attached handle is never zero.
const ATTACHED: u32 = 0x53_48_4C_6A;

/// What `busy` says while a call is under way, and otherwise.
const IN_USE: u32 = 1;
const AT_REST: u32 = 0;

impl Handle {
    /// A handle that is not attached.
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

/// Makes `handle` the home of `lock`, whatever it has been.
///
/// # Safety
/// `handle` leads to a `Handle`, which nobody else accesses meanwhile.
pub(crate) unsafe fn settle(handle: NonNull<Handle>, lock: Lock) {
    // SAFETY: promised by the caller.
    let home = unsafe { home_of(handle) };
    // SAFETY: large and aligned enough for a `Home`, by the assertion above; writable, as promised.
    unsafe { home.write(Home { lock, fork: Fork::UNKNOWN }) };
    // SAFETY: as promised.
    let busy = unsafe { busy_of(handle) };
    busy.store(AT_REST, Relaxed); // partner: `with` by the same thread
    // SAFETY: as promised.
    let state = unsafe { state_of(handle) };
    state.store(attached(handle), Relaxed); // partner: as above; other threads are handed it
}

/// Runs `act` on the lock behind a handle. A call that comes meanwhile, or in a forked child, is
/// refused.
///
/// # Errors
/// [`Status::Null`], [`Status::Misaligned`], [`Status::NotAttached`], [`Status::InUse`],
/// [`Status::Forked`], and those of `act`. If the process forks during `act`, the child is answered
/// `Forked`, whatever `act` did there.
///
/// # Safety
/// What [`Handle`] says of a `shmlock_core_t *`.
pub(crate) unsafe fn with<R>(
    handle: *const Handle,
    act: impl FnOnce(&mut Lock, Fork) -> Result<R, Status>,
) -> Result<R, Status> {
    let handle = checked(handle)?;
    // SAFETY: checked, and otherwise promised by the caller.
    let state = unsafe { state_of(handle) };
    // SAFETY: as above.
    let busy = unsafe { busy_of(handle) };
    // Partner: `settle` and `unsettle` by the same thread. Other threads are handed the handle.
    let is_attached = || state.load(Relaxed) == attached(handle);
    if !is_attached() {
        return Err(Status::NotAttached);
    }
    // SAFETY: as above.
    let home = unsafe { home_of(handle) };
    // SAFETY: inside the `Home` that `settle` put there: the state says so, and is no other
    // handle's.
    let fork = unsafe { &raw mut (*home).fork };
    // SAFETY: as above. A copy: nobody keeps a reference to it.
    let before = unsafe { fork.read() };
    if before.has_happened() {
        return Err(Status::Forked);
    }
    // Partner: the stores below. Relaxed: a signal handler on this thread; other threads are handed
    // the handle.
    if busy.load(Relaxed) != AT_REST {
        return Err(Status::InUse);
    }
    busy.store(IN_USE, Relaxed); // partner: the load above, by a callback or a signal handler
    // Partner: such a handler, which sees the handle in use before anything of the lock moves.
    compiler_fence(Ordering::SeqCst);
    // A signal handler between that load and that store ran to its end. It may even have detached
    // the handle.
    if !is_attached() {
        busy.store(AT_REST, Relaxed); // partner: as above
        return Err(Status::NotAttached);
    }
    // SAFETY: inside the `Home`, as above.
    let lock = unsafe { &raw mut (*home).lock };
    // SAFETY: nobody else has a reference to it: one thread uses the handle, and `busy` keeps it
    // from coming in twice.
    let lock = unsafe { &mut *lock };
    let answer = act(lock, before);
    compiler_fence(Ordering::SeqCst); // partner: as above; it sees all moved before rest
    busy.store(AT_REST, Relaxed); // partner: as above
    if before.has_happened() { Err(Status::Forked) } else { answer }
}

/// Has the handle compare by `fork` from now on.
///
/// # Errors
/// As [`with`].
///
/// # Safety
/// As [`with`].
pub(crate) unsafe fn set_fork(handle: *mut Handle, fork: Fork) -> Result<Status, Status> {
    let set = |_: &mut Lock, _: Fork| {
        // SAFETY: a handle, as `with` found.
        let home = unsafe { home_of(checked(handle)?) };
        // SAFETY: inside the `Home` that `settle` put there.
        let place = unsafe { &raw mut (*home).fork };
        // SAFETY: as above; nobody has a reference to it.
        unsafe { place.write(fork) };
        Ok(Status::Ok)
    };
    // SAFETY: promised by the caller.
    unsafe { with(handle, set) }
}

/// Runs `act` on the lock behind a handle, which is attached no more when it has returned, whatever
/// it answers.
///
/// # Errors
/// As [`with`]. The handle is still attached if `act` was not run.
///
/// # Safety
/// As [`with`].
pub(crate) unsafe fn unsettle<R>(
    handle: *mut Handle,
    act: impl FnOnce(&mut Lock) -> Result<R, Status>,
) -> Result<R, Status> {
    let act_last = |lock: &mut Lock, _: Fork| {
        let answer = act(lock);
        // SAFETY: a handle, as `with` found. (The lock is left as it is: it holds nothing, and owns
        // nothing.)
        let state = unsafe { state_of(checked(handle)?) };
        state.store(0, Relaxed); // partner: `with`, by the same thread
        answer
    };
    // SAFETY: promised by the caller.
    unsafe { with(handle, act_last) }
}

/// What `state` is in an attached handle at this address.
fn attached(handle: NonNull<Handle>) -> u32 {
    // The low half of the address will do: it is to tell a copy from its original.
    #[allow(clippy::cast_possible_truncation, reason = "the low half is meant")]
    let address = handle.addr().get() as u32;
    ATTACHED ^ address
}

/// # Safety
/// `handle` leads to a `Handle`.
unsafe fn home_of(handle: NonNull<Handle>) -> *mut Home {
    // SAFETY: inside the `Handle` that the caller promises.
    let space = unsafe { &raw mut (*handle.as_ptr()).space };
    space.cast()
}

/// # Safety
/// `handle` leads to a `Handle` for as long as the result is used.
unsafe fn state_of<'h>(handle: NonNull<Handle>) -> &'h AtomicU32 {
    // SAFETY: inside the `Handle` that the caller promises.
    let state = unsafe { &raw mut (*handle.as_ptr()).state };
    // SAFETY: an aligned `u32`, which everybody accesses by this function alone.
    unsafe { AtomicU32::from_ptr(state) }
}

/// # Safety
/// As [`state_of`].
unsafe fn busy_of<'h>(handle: NonNull<Handle>) -> &'h AtomicU32 {
    // SAFETY: inside the `Handle` that the caller promises.
    let busy = unsafe { &raw mut (*handle.as_ptr()).busy };
    // SAFETY: an aligned `u32`, which everybody accesses by this function alone.
    unsafe { AtomicU32::from_ptr(busy) }
}
