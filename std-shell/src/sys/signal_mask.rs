//! Holding signals back: SIGINT, SIGTERM and SIGHUP, in the calling thread, for a stretch of code.
//!
//! By the thread's signal mask (`pthread_sigmask(3)`), so it works in any thread, replaces no
//! handler, and loses nothing: what arrives meanwhile stays pending and is delivered when the
//! signal is let in again. A signal sent to the process goes to another thread that does not block
//! it, if there is one.
//!
//! The mask is the program's, and other code may change it meanwhile. So only those signals are let
//! in again that were blocked here; the rest of the mask is never written.

#![allow(unsafe_code, reason = "signal masks exist in libc only")]

use std::borrow::Borrow;
use std::cell::Cell;
use std::mem::MaybeUninit;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

/// When signals are held back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BlockSignals {
    /// Never. The lock is safe without it: whoever dies holding it is recovered from.
    #[default]
    Never,
    /// While the lock is being taken and being given back, but not while waiting and not while
    /// holding.
    Transitions,
    /// From the taking to the giving back, so that no signal interrupts the section. Not while
    /// waiting.
    ///
    /// The lock must be given back on the thread that took it. A guard sees to that; a handle that
    /// is sent to another thread between `acquire` and `release` does not, and leaves the signals
    /// of the first thread blocked.
    ///
    /// Code in the critical section may change the thread's signal mask, and its changes stay; but
    /// SIGINT, SIGTERM and SIGHUP are let in at the end if they were let in before. A child that is
    /// forked in the critical section has them blocked until it drops its copy of the handle, and a
    /// program that it becomes by exec keeps them blocked.
    /// [`std::process::Command`] lets them in.
    WhileHeld,
}

/// The signals that ask a process to end.
pub(crate) const ENDING: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

thread_local! {
    /// What this thread blocks. Its [`Blocked`] may end in any order: two locks may be held one
    /// over the end of the other.
    static BLOCKED: Cell<State> = const { Cell::new(State { thread: 0, count: 0, added: [false; ENDING.len()] }) };
}

#[derive(Clone, Copy)]
struct State {
    /// The thread's number here; 0 before its first [`Blocked`]. A forked child has its copy, as
    /// of the mask.
    thread: u32,
    /// How many [`Blocked`] this thread has.
    count: u32,
    /// Which of [`ENDING`] they have blocked; the others were blocked before.
    added: [bool; ENDING.len()],
}

/// Keeps [`ENDING`] blocked in the thread that made it. The last one of a thread lets in what they
/// have blocked.
pub(crate) struct Blocked {
    thread: u32,
}

impl Blocked {
    /// Blocks [`ENDING`] in this thread, also if the program has let them in since the last time.
    /// Async-signal-safe.
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
            return; // another thread's mask is not ours to change
        }
        if state.count > 1 {
            BLOCKED.set(State { count: state.count - 1, ..state });
        } else {
            BLOCKED.set(State { count: 0, added: [false; ENDING.len()], ..state });
            change(libc::SIG_UNBLOCK, &state.added_set()); // last: the signals that waited for it run their handlers
        }
    }
}

impl State {
    fn added_set(&self) -> libc::sigset_t {
        let added = ENDING
            .into_iter()
            .zip(self.added)
            .filter_map(|(signal, added)| added.then_some(signal));
        set_of(added)
    }
}

/// A number that no other thread of this process has had; but for one, once 2^32 threads have
/// blocked signals.
fn next_thread() -> u32 {
    static LAST: AtomicU32 = AtomicU32::new(0);
    // Partner: the same by other threads. Relaxed: the numbers differ, and nothing else matters.
    LAST.fetch_add(1, Relaxed).wrapping_add(1).max(1)
}

/// Lets the signals in that this thread's only [`Blocked`] has blocked, until this is dropped.
pub(crate) struct Unblocked(libc::sigset_t);

/// Lets signals through for a while, if they are blocked here, unless another `Blocked` of this
/// thread wants otherwise.
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

/// Runs `act` with every signal held back, but those that a fault of the thread itself raises: a
/// thread that is started by it begins so, and runs no handler of the program.
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

/// Changes this thread's mask; gives back the former. Cannot fail: `how` and the pointers are
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
