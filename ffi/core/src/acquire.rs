//! How the lock is taken, and by which way of waiting.

#![allow(
    unsafe_code,
    reason = "exports symbols by their names, takes pointers from C and calls C back"
)]

use core::ffi::c_void;
use core::ptr::NonNull;

use shmlock_core::contend::{AssumeAlive, Liveness};
use shmlock_core::wait::{self, Wait, WaitAction};
use shmlock_core::{Token, Word};

use crate::fork::Fork;
use crate::handle::{self, Handle, Lock};
use crate::pointer::{checked, write};
use crate::status::Status;

/// What a wait callback is told. Valid until the callback returns.
#[repr(C)]
#[derive(Debug)]
pub struct WaitContext {
    /// The token of the owner, as seen when the last attempt failed; 0 if the lock was free just
    /// then.
    pub owner: u32,
    /// How many attempts have failed before this one; stops counting at 2^32 - 1.
    pub attempt: u32,
    /// The word that changes when the lock does: what a futex sleeps on. Only ever read it,
    /// atomically.
    pub word: *const u32,
    /// Private.
    core: *mut c_void,
}

/// How to let time pass: spin, yield, sleep, wait for a notification or a futex. Called after each
/// failed attempt, with the context that the caller gave.
///
/// Answers 0 to try again, anything else to give up. Whatever it does, it bounds its sleep by an
/// interval of its own: **a wake is a hint**, for the owner may be unable to give one. It returns
/// normally: no `longjmp`, no end of its thread by `pthread_exit(3)` or `pthread_cancel(3)`, no C++
/// exception. It may not use the handle that is being acquired (`SHMLOCK_CORE_STATUS_IN_USE`).
pub type WaitFn =
    Option<unsafe extern "C" fn(context: *mut c_void, contention: *mut WaitContext) -> i32>;

/// Waits by the callback of C's.
struct Called {
    left: u32,
    callback: WaitFn,
    context: *mut c_void,
}

impl Wait for Called {
    fn wait(&mut self, contention: &mut wait::WaitContext<'_>) -> WaitAction {
        if self.left == 0 {
            return WaitAction::GiveUp;
        }
        self.left -= 1;
        let Some(callback) = self.callback else {
            core::hint::spin_loop();
            return WaitAction::Retry;
        };
        let mut told = WaitContext {
            owner: contention.seen().owner().map_or(0, Token::get),
            attempt: contention.attempt(),
            word: contention.word().as_ptr(),
            core: NonNull::from(&mut *contention).as_ptr().cast(),
        };
        // SAFETY: a function of this type, and a context that it can take: promised by the caller
        // of `shmlock_core_acquire`.
        let answer = unsafe { callback(self.context, &raw mut told) };
        if answer == 0 { WaitAction::Retry } else { WaitAction::GiveUp }
    }
}

/// Lets no time pass, and asks once whether the owner is dead.
struct AskOnce(bool);

impl Wait for AskOnce {
    fn wait(&mut self, _: &mut wait::WaitContext<'_>) -> WaitAction {
        if core::mem::replace(&mut self.0, false) { WaitAction::Probe } else { WaitAction::GiveUp }
    }
}

/// One owner is dead: promised by the caller of `shmlock_core_take_over`.
struct Promised(Token);

impl Liveness for Promised {
    fn while_dead<R>(&mut self, owner: Token, act: impl FnOnce() -> R) -> Option<R> {
        (owner == self.0).then(act)
    }
}

/// Waits as `wait` does, and gives up in a forked child: its callback, or a signal handler, may
/// have forked.
struct InOneProcess<W> {
    wait: W,
    fork: Fork,
}

impl<W: Wait> Wait for InOneProcess<W> {
    fn wait(&mut self, contention: &mut wait::WaitContext<'_>) -> WaitAction {
        let verdict = self.wait.wait(contention);
        if self.fork.has_happened() { WaitAction::GiveUp } else { verdict }
    }
}

/// # Safety
/// As [`handle::with`].
unsafe fn take(lock: *mut Handle, wait: impl Wait, liveness: &mut impl Liveness) -> Status {
    let acquire = |lock: &mut Lock, fork: Fork| {
        lock.acquire_or_recover(&mut InOneProcess { wait, fork }, liveness)?;
        Ok(if lock.owner_died() { Status::OwnerDied } else { Status::Ok })
    };
    // SAFETY: promised by the caller.
    unsafe { handle::with(lock, acquire) }.into()
}

/// Takes the lock if it is free or already held by this handle.
///
/// Never blocks; async-signal-safe; only the contender whose handle it is calls it.
///
/// Holds are counted: whoever has acquired twice releases twice.
///
/// Answers `SHMLOCK_CORE_STATUS_OK` or `_OWNER_DIED`: held. Not held: `_BUSY`; `_NESTING_TOO_DEEP`; `_NULL`,
/// `_MISALIGNED`, `_NOT_ATTACHED`, `_IN_USE`, `_FORKED`; `_OVERWRITTEN` if this handle had acquired
/// the lock and the word names another.
///
/// # Safety
/// As every function's, of `lock`: see `shmlock_core_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_try_acquire(lock: *mut Handle) -> Status {
    // SAFETY: promised by the caller.
    unsafe {
        take(
            lock,
            Called { left: 0, callback: None, context: core::ptr::null_mut() },
            &mut AssumeAlive,
        )
    }
}

/// Takes the lock, waiting by `wait(context, ..)` after each failed attempt, at most `waits` times.
/// Zero is one attempt and no wait. Without a callback (NULL) it spins: some nanoseconds an
/// attempt, right only for short sections on other cores.
///
/// Blocks for as long as `wait` does, `waits` times; async-signal-safe if `wait` is; only the
/// contender whose handle it is calls it. There is no order among contenders.
///
/// If it gives up, look at `shmlock_core_owes_wake`.
///
/// Answers as `shmlock_core_try_acquire`.
///
/// # Safety
/// As every function's, of `lock`: see `shmlock_core_t`. `wait` is NULL or as `shmlock_core_wait_fn` says,
/// and can take `context`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_acquire(
    lock: *mut Handle,
    waits: u32,
    wait: WaitFn,
    context: *mut c_void,
) -> Status {
    // SAFETY: promised by the caller.
    unsafe { take(lock, Called { left: waits, callback: wait, context }, &mut AssumeAlive) }
}

/// Takes the lock if it is free, already held by this handle, or held by the owner `dead`, **whom
/// the caller knows to be dead**.
///
/// The proof is the caller's: a core held in reset, a process that `waitpid` has returned, a task
/// that was deleted. It must hold from before the call until after it, and so must this: nobody is
/// given the token `dead` meanwhile (the core is not started, the process not replaced). A wrong
/// proof makes two owners.
///
/// Never blocks; async-signal-safe; only the contender whose handle it is calls it.
///
/// Answers as `shmlock_core_try_acquire`: `SHMLOCK_CORE_STATUS_OWNER_DIED` if it took over, or if an earlier
/// death is not declared mended; `_BUSY` if another than `dead` holds the lock. `_BAD_TOKEN` if
/// `dead` is no token.
///
/// # Safety
/// As every function's, of `lock`: see `shmlock_core_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_take_over(lock: *mut Handle, dead: u32) -> Status {
    let word = Word::from_bits(dead);
    match word.owner() {
        // SAFETY: promised by the caller.
        Some(token) if token.get() == dead => unsafe {
            take(lock, AskOnce(true), &mut Promised(token))
        },
        _ => Status::BadToken,
    }
}

/// For wait callbacks that sleep until they are woken: asks the owner for a wake at its release
/// (`shmlock_core_owes_wake`).
///
/// Writes to `marked` the value on which to sleep: `futex(2)` with `FUTEX_WAIT` on
/// `contention->word`, or any wait that ends at once if the word has another value. Never blocks;
/// async-signal-safe; only the callback calls it, before it returns.
///
/// Answers `SHMLOCK_CORE_STATUS_OK`; `_BUSY` if the word changed meanwhile: do not sleep, return 0;
/// `_NULL`, `_MISALIGNED`.
///
/// # Safety
/// `contention` is what the callback was given, and `marked` leads to an `uint32_t`, unless they
/// are refused.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_core_mark_waiting(
    contention: *mut WaitContext,
    marked: *mut u32,
) -> Status {
    let mark = || {
        let contention = checked(contention)?;
        checked(marked)?;
        // SAFETY: as promised, what `Called` made, which is on its stack until the callback
        // returns.
        let core = unsafe { &raw mut (*contention.as_ptr()).core };
        // SAFETY: as above.
        let core = unsafe { core.read() };
        // SAFETY: the core's contention, which `Called` does not use while the callback runs.
        let core = unsafe { &mut *core.cast::<wait::WaitContext<'_>>() };
        let word = core.mark_waiting().map_err(|_| Status::Busy)?;
        // SAFETY: as promised.
        unsafe { write(marked, word.bits()) }?;
        Ok(Status::Ok)
    };
    mark().into()
}
