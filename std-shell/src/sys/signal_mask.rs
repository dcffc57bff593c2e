//! Blocks SIGINT, SIGTERM and SIGHUP in the calling thread for a piece of code.
//!
//! It uses the thread's signal mask, `pthread_sigmask(3)`. So it works in any thread, replaces no
//! handler and loses no signal: a signal that arrives meanwhile stays pending, and is delivered
//! when it is unblocked. A signal sent to the process goes to another thread that does not block
//! it, if there is one.
//!
//! The mask is the program's, and other code may change it meanwhile. So only the signals that were
//! blocked here are unblocked; the rest of the mask is never written.

#![allow(unsafe_code, reason = "signal masks exist in libc only")]

use std::borrow::Borrow;
use std::cell::Cell;
use std::mem::MaybeUninit;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

/// The times at which SIGINT, SIGTERM and SIGHUP are blocked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BlockSignals {
    /// Never. The lock is safe without it: an owner that a signal kills is recovered from.
    #[default]
    Never,
    /// While the lock is being acquired and while it is being released; neither while waiting nor
    /// while holding it.
    Transitions,
    /// From the acquisition to the release, so that no signal interrupts the critical section. Not
    /// while waiting.
    ///
    /// The lock must be released on the thread that acquired it. A guard ensures that. A handle
    /// that is sent to another thread between `acquire` and `release` does not: the signals of the
    /// first thread stay blocked.
    ///
    /// Code in the critical section may change the thread's signal mask, and its changes stay. But
    /// SIGINT, SIGTERM and SIGHUP are unblocked at the end if they were unblocked before. A child
    /// that is forked in the critical section has them blocked until it drops its copy of the
    /// handle. A program that the child starts by exec keeps them blocked;
    /// [`std::process::Command`] unblocks them.
    WhileHeld,
}

/// The signals that ask a process to end.
pub(crate) const ENDING: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

thread_local! {
    /// The signals that this thread blocks. Its [`Blocked`] values may end in any order: two locks
    /// may be held, and released in the order of their acquisition.
    static BLOCKED: Cell<State> = const { Cell::new(State::NONE) };
}

#[derive(Clone, Copy)]
struct State {
    /// The thread's number in this module; 0 before its first [`Blocked`]. A forked child has a
    /// copy of it, and of the mask.
    thread: u32,
    /// The number of [`Blocked`] values of this thread.
    count: u32,
    /// The signals of [`ENDING`] that they have blocked; the others were blocked before.
    added: [bool; ENDING.len()],
}

/// Blocks [`ENDING`] in the thread that made it. The last one of a thread unblocks what they have
/// blocked.
pub(crate) struct Blocked {
    thread: u32,
}

impl Blocked {
    /// Blocks [`ENDING`] in this thread, even if the program has unblocked them since the last
    /// time. Async-signal-safe.
    pub(crate) fn now() -> Self {
        let before = change(libc::SIG_BLOCK, &set_of(ENDING));
        let mut state = BLOCKED.get();
        if state.thread == 0 {
            state.thread = next_thread();
        }
        state.count += 1;
        for (added, signal) in state.added.iter_mut().zip(ENDING) {
            *added |= !is_in(&before, signal);
        }
        BLOCKED.set(state);
        Self { thread: state.thread }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        let state = BLOCKED.get();
        if self.thread != state.thread {
            return; // this thread cannot change another thread's mask
        }
        if state.count > 1 {
            BLOCKED.set(State { count: state.count - 1, ..state });
        } else {
            BLOCKED.set(State { count: 0, added: [false; ENDING.len()], ..state });
            change(libc::SIG_UNBLOCK, &state.added_set()); // last: pending signals are handled here
        }
    }
}

impl State {
    const NONE: Self = Self { thread: 0, count: 0, added: [false; ENDING.len()] };

    fn added_set(&self) -> libc::sigset_t {
        let added = ENDING
            .into_iter()
            .zip(self.added)
            .filter_map(|(signal, added)| added.then_some(signal));
        set_of(added)
    }
}

/// Returns a number that no other thread of this process has, until 2^32 threads have blocked
/// signals.
fn next_thread() -> u32 {
    static LAST: AtomicU32 = AtomicU32::new(0);
    // Partner: the same addition by other threads. Relaxed: the numbers only have to differ.
    LAST.fetch_add(1, Relaxed).wrapping_add(1).max(1)
}

/// Unblocks, until it is dropped, the signals that this thread's only [`Blocked`] has blocked.
pub(crate) struct Unblocked(libc::sigset_t);

/// Unblocks the signals of `blocked` until the result is dropped; not if this thread has another
/// [`Blocked`].
#[inline]
pub(crate) fn unblocked(blocked: Option<&Blocked>) -> Option<Unblocked> {
    blocked.and_then(|_| Unblocked::now())
}

impl Unblocked {
    #[cold]
    fn now() -> Option<Self> {
        let state = BLOCKED.get();
        (state.count == 1).then(|| {
            let added = state.added_set();
            change(libc::SIG_UNBLOCK, &added);
            Self(added)
        })
    }
}

impl Drop for Unblocked {
    #[cold]
    fn drop(&mut self) {
        change(libc::SIG_BLOCK, &self.0);
    }
}

/// Runs `act` with every signal blocked, except those that a fault of the thread itself raises. A
/// thread that `act` starts inherits this mask, and runs no handler of the program.
pub(crate) fn with_all_blocked<R>(act: impl FnOnce() -> R) -> R {
    let mut all = MaybeUninit::uninit();
    // SAFETY: sigfillset writes a whole set through a valid pointer.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: initialised by the call above.
    let mut all = unsafe { all.assume_init() };
    for fault in
        [libc::SIGBUS, libc::SIGSEGV, libc::SIGILL, libc::SIGFPE, libc::SIGSYS, libc::SIGTRAP]
    {
        // SAFETY: a valid set, and signal numbers that exist.
        unsafe { libc::sigdelset(&raw mut all, fault) };
    }
    let before = change(libc::SIG_SETMASK, &all);
    let result = act();
    change(libc::SIG_SETMASK, &before);
    result
}

/// Unblocks one signal in this thread. Async-signal-safe.
pub(crate) fn unblock(signal: libc::c_int) {
    change(libc::SIG_UNBLOCK, &set_of([signal]));
}

fn is_in(set: &libc::sigset_t, signal: libc::c_int) -> bool {
    // SAFETY: a valid set, and a signal that exists.
    unsafe { libc::sigismember(set, signal) == 1 }
}

pub(crate) fn set_of(signals: impl IntoIterator<Item: Borrow<libc::c_int>>) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset writes a whole set through a valid pointer.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: initialised by the call above.
    let mut set = unsafe { set.assume_init() };
    for signal in signals {
        // SAFETY: a valid set, and signal numbers that exist.
        unsafe { libc::sigaddset(&raw mut set, *signal.borrow()) };
    }
    set
}

/// Changes this thread's mask and returns the former one. Cannot fail: `how` and the pointers are
/// valid.
fn change(how: libc::c_int, set: &libc::sigset_t) -> libc::sigset_t {
    let mut before = MaybeUninit::uninit();
    // SAFETY: an empty set is written first, so that the result is defined whatever the next call
    // does.
    unsafe { libc::sigemptyset(before.as_mut_ptr()) };
    // SAFETY: both pointers are valid for the call.
    unsafe { libc::pthread_sigmask(how, set, before.as_mut_ptr()) };
    // SAFETY: initialised by sigemptyset.
    unsafe { before.assume_init() }
}
