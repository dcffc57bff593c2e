//! Acquires the lock, waiting by a callback of the caller's, or recovers it from a dead owner.

#![allow(
    unsafe_code,
    reason = "exports symbols by their names, takes pointers from C and calls C back"
)]

use core::ffi::c_void;
use core::ptr::NonNull;

use shmlock_core::contend::{AssumeAlive, Liveness};
use shmlock_core::wait::{self, Wait, WaitAction};
use shmlock_core::{Token, Word};

use crate::fork::ForkCheck;
use crate::handle::{self, Handle, Lock};
use crate::pointer::{checked, write};
use crate::status::Status;

/// The argument of a wait callback. Valid until the callback returns.
#[repr(C)]
#[derive(Debug)]
pub struct WaitContext {
    /// The owner's token at the last failed attempt; 0 if the lock was free then. Of a ticket lock,
    /// the party in the way.
    pub owner: u32,
    /// The number of attempts that failed before this one; stops counting at 2^32 - 1.
    pub attempt: u32,
    /// The owner word, on which a futex sleeps. Of a ticket lock, a word of the party in the way.
    /// Only read it, atomically.
    pub word: *const u32,
    /// Private.
    core: *mut c_void,
}

/// Waits after a failed attempt, with the context of the caller: spins, yields, sleeps, waits for a
/// notification or a futex.
///
/// Returns 0 to try again, any other value to give up. It must bound its sleep by an interval of
/// its own: **a wake is a hint**, because the owner may be unable to send one. It must return
/// normally: no `longjmp`, no end of its thread by `pthread_exit(3)` or `pthread_cancel(3)`, no C++
/// exception. It must not use the handle that is being acquired (`SHMLOCK_CORE_STATUS_IN_USE`).
pub type WaitFn =
    Option<unsafe extern "C" fn(context: *mut c_void, contention: *mut WaitContext) -> i32>;

/// Waits by a C callback, or spins without one, at most `left` times.
pub(crate) struct Callback {
    left: u32,
    function: WaitFn,
    context: *mut c_void,
    /// What follows a wait that does not give up.
    then: WaitAction,
}

impl Callback {
    pub(crate) fn new(left: u32, function: WaitFn, context: *mut c_void) -> Self {
        Self { left, function, context, then: WaitAction::Retry }
    }

    /// Returns the same wait, with a probe of the owner after each time.
    pub(crate) fn probing(left: u32, function: WaitFn, context: *mut c_void) -> Self {
        Self { then: WaitAction::Probe, ..Self::new(left, function, context) }
    }
}

impl Wait for Callback {
    fn wait(&mut self, contention: &mut wait::WaitContext<'_>) -> WaitAction {
        if self.left == 0 {
            return WaitAction::GiveUp;
        }
        self.left -= 1;
        let Some(function) = self.function else {
            core::hint::spin_loop();
            return self.then;
        };
        let mut shown = WaitContext {
            owner: contention.seen().owner().map_or(0, Token::get),
            attempt: contention.attempt(),
            word: contention.word().as_ptr(),
            core: NonNull::from(&mut *contention).as_ptr().cast(),
        };
        // SAFETY: a function of this type, and a context that it accepts: guaranteed by the caller
        // of `shmlock_core_acquire`.
        let answer = unsafe { function(self.context, &raw mut shown) };
        if answer == 0 { self.then } else { WaitAction::GiveUp }
    }
}

/// Probes the owner once, without waiting.
struct ProbeOnce(bool);

impl Wait for ProbeOnce {
    fn wait(&mut self, _: &mut wait::WaitContext<'_>) -> WaitAction {
        if core::mem::replace(&mut self.0, false) { WaitAction::Probe } else { WaitAction::GiveUp }
    }
}

/// One owner is dead: guaranteed by the caller of `shmlock_core_take_over`.
struct KnownDead(Token);

impl Liveness for KnownDead {
    fn while_dead<R>(&mut self, owner: Token, act: impl FnOnce() -> R) -> Option<R> {
        (owner == self.0).then(act)
    }
}

/// Waits by `wait`, and gives up in a forked child: a callback or a signal handler may have forked.
struct InOneProcess<W> {
    wait: W,
    fork: ForkCheck,
}

impl<W: Wait> Wait for InOneProcess<W> {
    fn wait(&mut self, contention: &mut wait::WaitContext<'_>) -> WaitAction {
        let action = self.wait.wait(contention);
        if self.fork.is_in_child() { WaitAction::GiveUp } else { action }
    }
}

/// Acquires or recovers the lock behind a handle.
///
/// # Safety
/// The contract of [`handle::with`].
pub(crate) unsafe fn acquire(
    lock: *mut Handle,
    wait: impl Wait,
    liveness: &mut impl Liveness,
) -> Status {
    let acquire = |lock: &mut Lock, fork: ForkCheck| {
        lock.acquire_or_recover(&mut InOneProcess { wait, fork }, liveness)?;
        Ok(if lock.owner_died() { Status::OwnerDied } else { Status::Ok })
    };
    // SAFETY: guaranteed by the caller.
    unsafe { handle::with(lock, acquire) }.into()
}

/// Acquires the lock if it is free or already held by this handle.
///
/// Never blocks; async-signal-safe; only the contender that uses the handle.
///
/// Holds nest: each acquisition needs one release.
///
/// Returns `SHMLOCK_CORE_STATUS_OK` or `_OWNER_DIED`: acquired. Not acquired: `_BUSY`;
/// `_NESTING_TOO_DEEP`; `_NULL`, `_MISALIGNED`, `_NOT_ATTACHED`, `_IN_USE`, `_FORKED`;
/// `_OVERWRITTEN` if this handle holds the lock and the word names another owner.
///
/// # Safety
/// For `lock`: see `shmlock_core_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_try_acquire(lock: *mut Handle) -> Status {
    let no_wait = Callback::new(0, None, core::ptr::null_mut());
    // SAFETY: guaranteed by the caller.
    unsafe { acquire(lock, no_wait, &mut AssumeAlive) }
}

/// Acquires the lock, calling `wait(context, ..)` after each failed attempt, at most `waits` times.
/// With 0 it makes one attempt. Without a callback (NULL) it spins: a few nanoseconds an attempt,
/// right only for short critical sections on other cores.
///
/// Blocks as long as `wait` does, `waits` times; async-signal-safe if `wait` is; only the contender
/// that uses the handle. Contenders have no order.
///
/// If it gives up, check `shmlock_core_owes_wake`.
///
/// Returns the same as `shmlock_core_try_acquire`.
///
/// # Safety
/// For `lock`: see `shmlock_core_t`. `wait` is NULL, or meets `shmlock_core_wait_fn` and accepts
/// `context`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_acquire(
    lock: *mut Handle,
    waits: u32,
    wait: WaitFn,
    context: *mut c_void,
) -> Status {
    let wait = Callback::new(waits, wait, context);
    // SAFETY: guaranteed by the caller.
    unsafe { acquire(lock, wait, &mut AssumeAlive) }
}

/// Acquires the lock if it is free, already held by this handle, or held by the owner `dead`,
/// **which the caller knows to be dead**.
///
/// The proof is the caller's: a core held in reset, a process that `waitpid` has returned, a
/// deleted task. From before the call until after it, the owner stays dead and its token unused:
/// the core is not started, the process not replaced. A wrong proof makes two owners.
///
/// Never blocks; async-signal-safe; only the contender that uses the handle.
///
/// Returns the same as `shmlock_core_try_acquire`: `SHMLOCK_CORE_STATUS_OWNER_DIED` if it recovered
/// the lock, or if the data was not declared consistent after an earlier death; `_BUSY` if an owner
/// other than `dead` holds the lock. `_BAD_TOKEN` if `dead` is not a token.
///
/// # Safety
/// For `lock`: see `shmlock_core_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_take_over(lock: *mut Handle, dead: u32) -> Status {
    let word = Word::from_bits(dead);
    match word.owner() {
        // SAFETY: guaranteed by the caller.
        Some(token) if token.get() == dead => unsafe {
            acquire(lock, ProbeOnce(true), &mut KnownDead(token))
        },
        _ => Status::BadToken,
    }
}

/// Sets WAITERS in the owner word, so that the owner's release owes a wake
/// (`shmlock_core_owes_wake`). For wait callbacks that sleep until they are woken.
///
/// Writes to `value` the value on which to sleep: `futex(2)` with `FUTEX_WAIT` on
/// `contention->word`, or any wait that ends at once if the word has another value. Never blocks;
/// async-signal-safe; only the callback, before it returns.
///
/// Returns `SHMLOCK_CORE_STATUS_OK`; `_BUSY` if the word changed meanwhile: do not sleep, return 0;
/// `_NULL`, `_MISALIGNED`.
///
/// # Safety
/// Unless they are refused, `contention` is the callback's argument, and `value` points to a
/// `uint32_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_set_waiters(
    contention: *mut WaitContext,
    value: *mut u32,
) -> Status {
    let set = || {
        let contention = checked(contention)?;
        checked(value)?;
        // SAFETY: made by `Callback`, on whose stack it lies until the callback returns: guaranteed
        // by the caller.
        let core = unsafe { &raw mut (*contention.as_ptr()).core };
        // SAFETY: as above.
        let core = unsafe { core.read() };
        // SAFETY: the core's context, which `Callback` does not use while the callback runs.
        let core = unsafe { &mut *core.cast::<wait::WaitContext<'_>>() };
        let word = core.set_waiters().map_err(|_| Status::Busy)?;
        // SAFETY: guaranteed by the caller.
        unsafe { write(value, word.bits()) }?;
        Ok(Status::Ok)
    };
    set().into()
}
