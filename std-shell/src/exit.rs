//! Letting others in at once when this process is about to end.
//!
//! What happens when is written at [`ExitHandlers`], the one public item here.

#![allow(unsafe_code, reason = "sigaction and atexit exist in libc only, and a handler follows a raw pointer")]

use std::mem::MaybeUninit;
use std::ptr::null_mut;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::{Once, OnceLock};
use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::nanosleep;
use shmlock_core::protocol::{self, Wake};
use shmlock_core::{Token, Word};

use crate::error::{Error, Result};
use crate::registry::{self, Pinned};
use crate::signals::{self, ENDING};
use crate::thread::this_thread;
use crate::wait::futex;

/// How long a dying process sleeps before it looks again whether its other threads have given back what they hold.
const ROUND: Duration = Duration::from_millis(1);

/// How often it does so; see [`ExitHandlers::grace`].
static ROUNDS: AtomicU32 = AtomicU32::new(0);

/// What each of [`ENDING`] did before we came.
static BEFORE: [OnceLock<libc::sigaction>; ENDING.len()] = [const { OnceLock::new() }; ENDING.len()];

/// The thread that ends the process; 0 as long as none does.
static ENDED_BY: AtomicU32 = AtomicU32::new(0);

/// Gives back what this process holds when it exits or is ended by SIGINT, SIGTERM or SIGHUP.
///
/// For the whole process and for good; installing twice is once. Nothing here is needed for safety: whoever dies holding a
/// lock is recovered from. It spares the next owner one poll interval of waiting.
///
/// # What happens when
///
/// A lock may be given back only when the thread that is in the section **cannot go on**; otherwise two would be inside.
/// Therefore:
///
/// * *exit(3)*, which is also what returning from `main` does: the exiting thread's locks are given back. Other threads
///   still run; theirs are left to the kernel, which frees them a moment later with the process.
/// * *A signal that had no handler before*: the process will die of it. The interrupted thread's locks are given back;
///   every other thread that holds one is sent the same signal, gives its own back and stops there. Then the process
///   dies by the signal. A thread that blocks the signal is waited for, but not longer than the
///   [grace](Self::grace); then the kernel does it.
/// * *A signal that had a handler before*: that handler runs, first and alone, for it may well return and let the section
///   go on. If it calls exit, the first rule applies.
/// * *A signal that was ignored* (nohup(1)) stays ignored.
///
/// A lock given back in this way is marked: its section was cut short, and the next owner is told by
/// [`Guard::recovered`](crate::Guard::recovered).
///
/// # Limits
/// Not for SIGKILL, `_exit`, abort or a crash: there the kernel's proof serves. The file of a lock whose last handle was
/// not dropped stays (192 bytes, and the data), as after any exit without destructors, and goes with the next who closes it.
///
/// # Examples
/// ```
/// shmlock::ExitHandlers::all().install()?;
/// # Ok::<(), shmlock::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "nothing is installed before `install`"]
pub struct ExitHandlers {
    at_exit: bool,
    signals: bool,
    grace: Duration,
}

/// The default of [`ExitHandlers::grace`]. Arbitrary; a thread needs microseconds unless it blocks the signal or has no
/// processor to run on.
const GRACE: Duration = Duration::from_millis(100);

impl ExitHandlers {
    /// For exit(3) and for the signals.
    pub const fn all() -> Self {
        Self { at_exit: true, signals: true, grace: GRACE }
    }

    /// For exit(3), which is also what returning from `main` does.
    pub const fn at_exit() -> Self {
        Self { at_exit: true, signals: false, grace: GRACE }
    }

    /// For SIGINT, SIGTERM and SIGHUP.
    pub const fn signals() -> Self {
        Self { at_exit: false, signals: true, grace: GRACE }
    }

    /// For how long a process that dies by a signal waits until its other threads have given back what they hold; 100 ms if
    /// nobody says otherwise. In steps of a millisecond, which take longer on a busy machine. Whoever installs handlers
    /// for signals last decides.
    pub const fn grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// Installs them.
    ///
    /// # Errors
    /// [`Error::System`] if atexit(3) has no room or sigaction(2) refuses.
    pub fn install(self) -> Result<()> {
        if self.at_exit {
            install_at_exit()?;
        }
        if self.signals {
            let rounds = self.grace.as_nanos() / ROUND.as_nanos();
            // Partner: `end_by`, which may run from now on. Relaxed: a number.
            ROUNDS.store(u32::try_from(rounds).unwrap_or(u32::MAX), Relaxed);
            for (signal, before) in ENDING.into_iter().zip(&BEFORE) {
                install_for(signal, before)?;
            }
        }
        Ok(())
    }
}

fn failed(operation: &'static str, errno: Errno) -> Error {
    Error::System { operation, path: "this process".into(), errno }
}

fn install_at_exit() -> Result<()> {
    static INSTALLED: Once = Once::new();
    let mut answer = 0;
    INSTALLED.call_once(|| {
        // SAFETY: `at_exit` may be called at any time on any thread, and does not unwind.
        answer = unsafe { libc::atexit(at_exit) };
    });
    if answer == 0 { Ok(()) } else { Err(failed("register an atexit handler in", Errno::NOMEM)) }
}

/// Puts our handler in front of what is there, unless that is to ignore the signal or ourselves.
fn install_for(signal: libc::c_int, before: &OnceLock<libc::sigaction>) -> Result<()> {
    let present = exchange(signal, None)?;
    let ours = on_signal as extern "C" fn(_, _, _) as usize;
    if present.sa_sigaction == libc::SIG_IGN || present.sa_sigaction == ours {
        return Ok(());
    }
    let former = *before.get_or_init(|| present);
    let mut action = former;
    action.sa_sigaction = ours;
    // The former handler's wishes about stack and restarting stay; one-shot handlers become permanent.
    action.sa_flags = (former.sa_flags & !libc::SA_RESETHAND) | libc::SA_SIGINFO;
    exchange(signal, Some(&action)).map(drop)
}

/// sigaction(2): the present action, and a new one in its place if given.
fn exchange(signal: libc::c_int, new: Option<&libc::sigaction>) -> Result<libc::sigaction> {
    let mut present = MaybeUninit::<libc::sigaction>::zeroed();
    let new = new.map_or(null_mut(), |action| std::ptr::from_ref(action).cast_mut());
    // SAFETY:
    // - `new` is null or valid for reads, `present` valid for writes.
    // - a new handler, if there is one, is `on_signal` (async-signal-safe) or `SIG_DFL`.
    let answer = unsafe { libc::sigaction(signal, new, present.as_mut_ptr()) };
    if answer != 0 {
        let errno = Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL);
        return Err(failed("change the signal action of", errno));
    }
    // SAFETY: zeroed, which is valid, and then written by the kernel.
    Ok(unsafe { present.assume_init() })
}

extern "C" fn at_exit() {
    give_back_of(this_thread());
    wake_again();
}

/// Async-signal-safe: atomics, system calls, and a thread-local without a destructor.
extern "C" fn on_signal(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let errno = errno();
    let before = ENDING.iter().position(|&ending| ending == signal).and_then(|index| BEFORE[index].get());
    match before {
        Some(before) if before.sa_sigaction != libc::SIG_DFL => call(before, signal, info, context),
        _ => end_by(signal),
    }
    set_errno(errno);
}

/// Runs the handler that stood there before us.
fn call(before: &libc::sigaction, signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    if before.sa_flags & libc::SA_SIGINFO == 0 {
        // SAFETY: without SA_SIGINFO the kernel would have called this address with the number alone, sigaction(2).
        let handler = unsafe { std::mem::transmute::<usize, extern "C" fn(libc::c_int)>(before.sa_sigaction) };
        handler(signal);
    } else {
        type Full = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
        // SAFETY: with SA_SIGINFO the kernel would have called this address with these three, sigaction(2).
        let handler = unsafe { std::mem::transmute::<usize, Full>(before.sa_sigaction) };
        handler(signal, info, context);
    }
}

/// Gives back what this thread holds, has the other threads do the same, and dies by the signal.
fn end_by(signal: libc::c_int) {
    let me = this_thread();
    give_back_of(me);
    // Partner: the same swap on another thread. One ends the process, the others stop.
    match ENDED_BY.compare_exchange(0, me, AcqRel, Acquire) {
        Ok(_) => {}
        Err(ender) if ender == me => return, // a second signal during the first
        Err(_) => loop {
            // SAFETY: waits for a signal; async-signal-safe.
            unsafe { libc::pause() };
        },
    }
    for round in 0..ROUNDS.load(Relaxed) {
        if summon_others(me, signal, round == 0) == 0 {
            break;
        }
        let _ = nanosleep(&futex::timespec(ROUND));
    }
    wake_again();
    die_by(signal);
}

/// Ends the process as if nobody had handled the signal. Async-signal-safe.
fn die_by(signal: libc::c_int) -> ! {
    // SAFETY: all zero is SIG_DFL with an empty mask and no flags.
    let default = unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() };
    let _ = exchange(signal, Some(&default));
    // SAFETY: raising a signal that exists. It is blocked while its handler runs, so it stays pending.
    unsafe { libc::raise(signal) };
    signals::unblock(signal); // now it is delivered
    // Still here: the first process of a pid namespace does not die of its own signals. Then it exits as a shell would.
    // SAFETY: ends the process without running anything.
    unsafe { libc::_exit(128 + signal) }
}

/// Gives back every lock that `thread` holds; DIED tells the next owner that the section was cut short.
fn give_back_of(thread: u32) {
    registry::for_each(|pinned| {
        if pinned.thread == thread && holds(pinned) {
            give_back(pinned);
        }
    });
}

/// Makes up for wakes that die with this process: of a thread that has given a lock back and not come to wake yet, in a
/// handler like this or without; and of one that was woken and has not come to take the lock. Who is woken for nothing
/// looks at the word and goes back to sleep.
fn wake_again() {
    registry::for_each(|pinned| {
        // SAFETY: the registry keeps the region mapped while it shows the handle.
        futex::wake_one(unsafe { &*pinned.word });
    });
}

fn give_back(pinned: &Pinned) {
    // SAFETY: the registry keeps the region mapped while it shows the handle.
    let word = unsafe { &*pinned.word };
    if let Ok(Wake::One) = protocol::abandon(word, pinned.token, pinned.fence) {
        futex::wake_one(word);
    }
}

/// Counts the locks that other threads hold, and sends these threads the signal.
fn summon_others(me: u32, signal: libc::c_int, send: bool) -> u32 {
    let mut held = 0;
    registry::for_each(|pinned| {
        if pinned.thread != me && pinned.thread != 0 && holds(pinned) {
            held += 1;
            if send {
                let process = rustix::process::getpid().as_raw_nonzero().get();
                // SAFETY: tgkill(2) checks its numbers; a thread that is gone is no error worth telling.
                unsafe { libc::syscall(libc::SYS_tgkill, process, pinned.thread, signal) };
            }
        }
    });
    held
}

/// Whether the owner word names the handle.
fn holds(pinned: &Pinned) -> bool {
    let (word, token): (_, Token) = (pinned.word, pinned.token);
    // SAFETY: the registry keeps the region mapped while it shows the handle.
    let word = unsafe { &*word };
    // Partner: the taking swap of that thread. Relaxed: `give_back` judges again.
    Word::from_bits(word.load(Relaxed)).is_owned_by(token)
}

fn errno() -> libc::c_int {
    // SAFETY: has no preconditions.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the address of this thread's errno is valid for as long as the thread runs.
    unsafe { *place }
}

fn set_errno(value: libc::c_int) {
    // SAFETY: has no preconditions.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: the address of this thread's errno is valid for as long as the thread runs.
    unsafe { *place = value };
}
