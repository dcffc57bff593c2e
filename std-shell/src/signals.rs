//! Holding signals back: SIGINT, SIGTERM and SIGHUP, in the calling thread, for a stretch of code.
//!
//! By the thread's signal mask (`pthread_sigmask(3)`), so it works in any thread, replaces no handler, and loses nothing:
//! what arrives meanwhile stays pending and is delivered when the mask is put back. A signal sent to the process goes
//! to another thread that does not block it, if there is one.

#![allow(unsafe_code, reason = "signal masks exist in libc only")]

use std::cell::Cell;
use std::mem::MaybeUninit;

use crate::thread::this_thread;

/// When signals are held back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockSignals {
    /// Never. The lock is safe without it: whoever dies holding it is recovered from.
    #[default]
    Never,
    /// While the lock is being taken and being given back, but not while waiting and not while holding.
    Transitions,
    /// From the taking to the giving back, so that no signal interrupts the section. Not while waiting.
    ///
    /// The lock must be given back on the thread that took it. A guard sees to that; a handle that is sent to another
    /// thread between `acquire` and `release` does not, and leaves the signals of the first thread blocked.
    WhileHeld,
}

/// The signals that ask a process to end.
pub(crate) const ENDING: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

thread_local! {
    /// How many [`Blocked`] this thread has, and its mask as it was before the first. They may end in any order: two locks
    /// may be held one over the end of the other.
    static BLOCKED: Cell<(u32, Option<libc::sigset_t>)> = const { Cell::new((0, None)) };
}

/// Keeps [`ENDING`] blocked in the thread that made it. The last one of a thread puts its mask back.
pub(crate) struct Blocked {
    thread: u32,
}

impl Blocked {
    /// Blocks [`ENDING`] in this thread. Async-signal-safe.
    pub(crate) fn now() -> Self {
        let (count, before) = BLOCKED.get();
        let before = before.unwrap_or_else(|| change(libc::SIG_BLOCK, &set_of(&ENDING)));
        BLOCKED.set((count + 1, Some(before)));
        Self { thread: this_thread() }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        if self.thread != this_thread() {
            return; // another thread's mask is not ours to change
        }
        match BLOCKED.get() {
            (0 | 1, before) => {
                BLOCKED.set((0, None)); // before the signals that waited for it run their handlers
                if let Some(before) = before {
                    change(libc::SIG_SETMASK, &before);
                }
            }
            (count, before) => BLOCKED.set((count - 1, before)),
        }
    }
}

/// The thread's mask as it was before its only [`Blocked`], until this is dropped.
pub(crate) struct Unblocked(());

/// Lets signals through for a while, if they are blocked here, unless another `Blocked` of this thread wants otherwise.
#[inline]
pub(crate) fn unblocked(blocked: Option<&Blocked>) -> Option<Unblocked> {
    blocked.and_then(|_| Unblocked::now())
}

impl Unblocked {
    #[cold]
    fn now() -> Option<Self> {
        let (1, Some(before)) = BLOCKED.get() else { return None };
        change(libc::SIG_SETMASK, &before);
        Some(Self(()))
    }
}

impl Drop for Unblocked {
    #[cold]
    fn drop(&mut self) {
        change(libc::SIG_BLOCK, &set_of(&ENDING));
    }
}

/// Runs `act` with every signal held back, but those that a fault of the thread itself raises: a thread that is started by
/// it begins so, and runs no handler of the program.
pub(crate) fn with_all_blocked<R>(act: impl FnOnce() -> R) -> R {
    let mut all = MaybeUninit::uninit();
    // SAFETY: sigfillset writes a whole set through a valid pointer.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: initialised by the call above.
    let mut all = unsafe { all.assume_init() };
    for fault in [libc::SIGBUS, libc::SIGSEGV, libc::SIGILL, libc::SIGFPE] {
        // SAFETY: a valid set, and signal numbers that exist.
        unsafe { libc::sigdelset(&raw mut all, fault) };
    }
    let before = change(libc::SIG_SETMASK, &all);
    let result = act();
    change(libc::SIG_SETMASK, &before);
    result
}

/// Lets one signal through to this thread. Async-signal-safe.
pub(crate) fn unblock(signal: libc::c_int) {
    change(libc::SIG_UNBLOCK, &set_of(&[signal]));
}

pub(crate) fn set_of(signals: &[libc::c_int]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset writes a whole set through a valid pointer.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: initialised by the call above.
    let mut set = unsafe { set.assume_init() };
    for &signal in signals {
        // SAFETY: a valid set, and signal numbers that exist.
        unsafe { libc::sigaddset(&raw mut set, signal) };
    }
    set
}

/// Changes this thread's mask; gives back the former. Cannot fail: `how` and the pointers are valid.
fn change(how: libc::c_int, set: &libc::sigset_t) -> libc::sigset_t {
    let mut before = MaybeUninit::uninit();
    // SAFETY: an empty set is written first, so that the result is defined whatever the next call does.
    unsafe { libc::sigemptyset(before.as_mut_ptr()) };
    // SAFETY: both pointers are valid for the call.
    unsafe { libc::pthread_sigmask(how, set, before.as_mut_ptr()) };
    // SAFETY: initialised by sigemptyset.
    unsafe { before.assume_init() }
}
