//! Commands about signals: handlers that count, or that use the lock.

#![allow(unsafe_code, reason = "sigaction and signal masks exist in libc only")]

use std::mem::MaybeUninit;
use std::ptr::null_mut;
use std::rc::Rc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, compiler_fence};

use shmlock::{Error, ExitHandlers, ShmLock};

use crate::parse::millis;
use crate::state::Done;

const SIGNALS: usize = 65;
static NOTED: [AtomicU32; SIGNALS] = [const { AtomicU32::new(0) }; SIGNALS];

/// The lock that [`on_reentry`] tries, and its outcomes.
static REENTERED: AtomicPtr<ShmLock> = AtomicPtr::new(null_mut());
static TAKEN: AtomicU32 = AtomicU32::new(0);
static REFUSED: AtomicU32 = AtomicU32::new(0);
static ERRORS: AtomicU32 = AtomicU32::new(0);

/// The phase of its round in which [`sample`] is: free, acquiring, holding, releasing.
static PHASE: AtomicUsize = AtomicUsize::new(0);
const PHASES: usize = 4;
/// The number of calls of [`on_sample`] in each phase, with SIGTERM unblocked and with SIGTERM
/// blocked.
static SAMPLES: [[AtomicU32; 2]; PHASES] = [const { [const { AtomicU32::new(0) }; 2] }; PHASES];

pub(crate) fn install_exit_handlers(which: &str, grace: Option<&str>) -> Result<Done, Error> {
    let handlers = match which {
        "all" => ExitHandlers::all(),
        "exit" => ExitHandlers::at_exit(),
        "signals" => ExitHandlers::signals(),
        other => panic!("no such exit handlers: {other}"),
    };
    grace.map_or(handlers, |grace| handlers.grace(millis(grace))).install()?;
    Ok(Done::well(()))
}

pub(crate) fn note(signal: i32) -> Done {
    act(signal, on_note as extern "C" fn(_) as usize, 0)
}

/// Counts the signal as [`note`] does, by a handler with `SA_SIGINFO`.
pub(crate) fn note_with_info(signal: i32) -> Done {
    act(signal, on_note_with_info as extern "C" fn(_, _, _) as usize, libc::SA_SIGINFO)
}

/// Installs a handler that calls exit(3).
pub(crate) fn exit_on(signal: i32) -> Done {
    act(signal, on_exit as extern "C" fn(_) as usize, 0)
}

pub(crate) fn ignore(signal: i32) -> Done {
    act(signal, libc::SIG_IGN, 0)
}

pub(crate) fn noted(signal: usize) -> u32 {
    NOTED[signal].load(Relaxed)
}

pub(crate) fn raise(signal: i32) -> Done {
    // SAFETY: raise(3) checks its number.
    let answer = unsafe { libc::raise(signal) };
    assert_eq!(answer, 0, "raise");
    Done::well(())
}

/// Returns the names of the ending signals that this thread blocks.
pub(crate) fn blocked() -> String {
    let ending = [(libc::SIGHUP, "HUP"), (libc::SIGINT, "INT"), (libc::SIGTERM, "TERM")];
    let names = ending.iter().filter(|(signal, _)| is_blocked(*signal));
    names.map(|(_, name)| *name).collect::<Vec<_>>().join(" ")
}

/// Returns `true` if this thread blocks the signal. Async-signal-safe.
fn is_blocked(signal: i32) -> bool {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: no new mask, and a valid place for the present one.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, null_mut(), set.as_mut_ptr()) };
    // SAFETY: zeroed, and then written by the call; and a signal that exists.
    unsafe { libc::sigismember(set.as_ptr(), signal) == 1 }
}

/// Lets the handler of `signal` try this lock from now on. The lock is never closed afterwards.
pub(crate) fn reenter(lock: Rc<ShmLock>, signal: i32) -> Done {
    REENTERED.store(Rc::into_raw(lock).cast_mut(), Relaxed);
    act(signal, on_reentry as extern "C" fn(_) as usize, 0)
}

pub(crate) fn reentered() -> String {
    [&TAKEN, &REFUSED, &ERRORS].map(|count| count.load(Relaxed).to_string()).join(" ")
}

/// Acquires and releases the lock this often, while a signal's handler reads the mask of the
/// interrupted code.
pub(crate) fn sample(lock: &ShmLock, rounds: u32, signal: i32) -> Result<Done, Error> {
    // About as long as acquiring and releasing with their system calls.
    let linger = || (0..200).for_each(|_| std::hint::spin_loop());
    let enter = |phase| {
        compiler_fence(SeqCst); // a handler on this thread sees the phases and the calls in order
        PHASE.store(phase, Relaxed);
        compiler_fence(SeqCst);
    };
    act(signal, on_sample as extern "C" fn(_) as usize, 0);
    for _ in 0..rounds {
        enter(1);
        lock.acquire()?;
        enter(2);
        linger();
        enter(3);
        lock.release()?;
        enter(0);
        linger();
    }
    let counts = SAMPLES.iter().flatten().map(|count| count.load(Relaxed).to_string());
    Ok(Done::Answer(counts.collect::<Vec<_>>().join(" ")))
}

fn act(signal: i32, handler: usize, flags: i32) -> Done {
    // SAFETY: zeroed is the default action with an empty mask.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: a valid action whose handler is async-signal-safe.
    let answer = unsafe { libc::sigaction(signal, &raw const action, null_mut()) };
    assert_eq!(answer, 0, "sigaction");
    Done::well(())
}

extern "C" fn on_note(signal: i32) {
    if let Some(noted) = usize::try_from(signal).ok().and_then(|signal| NOTED.get(signal)) {
        noted.fetch_add(1, Relaxed);
    }
}

extern "C" fn on_note_with_info(
    signal: i32,
    info: *mut libc::siginfo_t,
    _context: *mut libc::c_void,
) {
    // SAFETY: valid, or null: it is the kernel's, or of a handler that calls this one in its place.
    if unsafe { info.as_ref() }.is_some_and(|info| info.si_signo == signal) {
        on_note(signal);
    }
}

extern "C" fn on_exit(_signal: i32) {
    // SAFETY: not async-signal-safe in general; the test sends the signal while this thread only
    // reads from a pipe.
    unsafe { libc::exit(7) };
}

extern "C" fn on_reentry(_signal: i32) {
    // A handler that makes system calls keeps errno.
    let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
    // SAFETY: never freed, see `reenter`; and the signal is sent to the thread that has the handle.
    let Some(lock) = (unsafe { REENTERED.load(Relaxed).as_ref() }) else { return };
    let outcome = match lock.try_lock() {
        Ok(Some(guard)) => {
            drop(guard);
            &TAKEN
        }
        Ok(None) => &REFUSED,
        Err(_) => &ERRORS,
    };
    outcome.fetch_add(1, Relaxed);
    // SAFETY: has no preconditions.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the address of this thread's errno is valid for as long as the thread runs.
    unsafe { *place = errno };
}

extern "C" fn on_sample(_signal: i32) {
    SAMPLES[PHASE.load(Relaxed)][usize::from(is_blocked(libc::SIGTERM))].fetch_add(1, Relaxed);
}
