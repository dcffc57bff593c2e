//! Releases what this process holds when it exits, or dies by SIGINT, SIGTERM or SIGHUP.
//!
//! What happens when is written at [`ExitHandlers`], the one public item here.
//!
//! No foreign code runs in here. Our action replaces the default action only, so there is no former
//! handler that we would have to call. A handler that comes later may call ours; ours then returns
//! to it at once.

#![allow(
    unsafe_code,
    reason = "sigaction and atexit exist in libc only, and a handler follows a raw pointer"
)]

use std::mem::MaybeUninit;
use std::ptr::null;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::getpid;
use rustix::thread::{gettid, nanosleep};
use shmlock_core::protocol::{self, Wake};
use shmlock_core::{Token, Word};

use crate::error::{Error, Result};
use crate::process::registry::{self, Pinned};
use crate::sys::fork_gate::{self, NoForkGuard};
use crate::sys::futex;
use crate::sys::signal_mask::{self, ENDING};
use crate::sys::sleep::timespec;
use crate::sys::thread::number_as_known;

/// How long a dying process sleeps before it looks again whether its other threads have given back
/// what they hold.
const ROUND: Duration = Duration::from_millis(1);

/// How often it does so; see [`ExitHandlers::grace`].
static ROUNDS: AtomicU32 = AtomicU32::new(0);

/// Whether [`at_exit`] is registered. A forked child inherits that with the registration.
///
/// Not a `Once`: a child that is forked in the middle would wait for it for ever.
static AT_EXIT: AtomicBool = AtomicBool::new(false);

/// The process that ends (upper half) and the thread of it that ends it (lower half); 0 as long as
/// none does. A forked child inherits the number, and is another process.
static ENDED_BY: AtomicU64 = AtomicU64::new(0);

/// Releases what this process holds when it exits or is ended by SIGINT, SIGTERM or SIGHUP.
///
/// For the whole process and for good. Nothing here is needed for safety: a dead owner is recovered
/// from in any case. It spares the next owner one poll interval of waiting.
///
/// # What happens when
///
/// A lock may be released only when the thread that is in the critical section **cannot go on**;
/// otherwise two would be inside. On exit(3), which is also what returning from `main` does, the
/// exiting thread's locks are released. Other threads still run; theirs are left to the kernel,
/// which frees them a moment later with the process.
///
/// On a signal, its action at that moment decides:
///
/// | the signal's action | what happens |
/// |---|---|
/// | ours: it was the default action at [`install`](Self::install) | The process dies by the signal. The interrupted thread's locks are released; every other thread that holds one is sent the same signal, releases its own and stops there. A thread that blocks the signal is waited for, but not longer than the [grace](Self::grace); then the kernel does it |
/// | a handler from before `install` | `install` leaves that handler as it is. It runs, and the critical section goes on when it returns. If it calls exit(3), the rule for exit applies |
/// | a handler from after `install`, whether it calls ours or not | That handler decides. Ours returns to it at once and releases nothing, so that a graceful shutdown runs (tokio and signal-hook call the action that they have found). If the process then exits, the rule for exit applies; if it dies, the kernel frees its locks |
/// | ours again, because a later handler has put it back | As in the first row |
/// | the default action, which the program has put there after `install` | The process dies at once; the kernel frees its locks |
/// | ignored, before `install` (nohup(1)) or after | Nothing |
/// | any, and all threads block the signal (`sigwait(3)`, `signalfd(2)`) | No handler runs until a thread lets the signal in; the program decides |
///
/// A lock released in this way is marked: its critical section was cut short, and the next owner is
/// told by [`Guard::recovered`](crate::Guard::recovered).
///
/// # Limits
/// Not for SIGKILL, `_exit`, abort or a crash: there the kernel's proof serves. The file of a lock
/// whose last handle was not dropped stays (192 bytes, and the data), as after any exit without
/// destructors, and goes with the next handle that is closed.
///
/// The action is asked for when our handler runs. If another thread replaces it in the very
/// microsecond in which the kernel delivers a signal, the signal may end in ours, which leaves it
/// to the new handler, which has not seen it. Send it again.
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

/// The default of [`ExitHandlers::grace`]. Arbitrary; a thread needs microseconds unless it blocks
/// the signal or has no processor to run on.
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

    /// For how long a process that dies by a signal waits until its other threads have given back
    /// what they hold; 100 ms if nobody says otherwise. In steps of a millisecond, which take
    /// longer on a busy machine. Whoever installs handlers for signals last decides.
    pub const fn grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// Installs them. Does not block; may be called by several threads at once, and in a forked
    /// child.
    ///
    /// For a signal whose action is the default, ours replaces it; any other action stays as it is.
    /// So a second call changes nothing where ours still stands, leaves the program's own later
    /// handler alone, and installs ours again where the program has put the default action back. A
    /// forked child inherits what its parent has installed; exec resets it. See atexit(3),
    /// sigaction(2).
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
            ENDING.into_iter().try_for_each(install_for)?;
        }
        Ok(())
    }
}

fn failed(operation: &'static str, errno: Errno) -> Error {
    Error::System { operation, path: "this process".into(), errno }
}

/// Registers [`at_exit`]. Two threads at once may register it twice, which is harmless: the second
/// run finds nothing to release. Forks wait: a child that is forked in the middle would inherit a
/// lock of libc's for ever.
fn install_at_exit() -> Result<()> {
    // Partner: the store below. Relaxed: no other memory hangs on it.
    if AT_EXIT.load(Relaxed) {
        return Ok(());
    }
    fork_gate::keep();
    let _stretch = NoForkGuard::begin();
    // SAFETY: `at_exit` may be called at any time on any thread, and does not unwind.
    if unsafe { libc::atexit(at_exit) } != 0 {
        return Err(failed("register an atexit handler in", Errno::NOMEM));
    }
    AT_EXIT.store(true, Relaxed); // partner: the load above
    Ok(())
}

/// The address by which the kernel knows our action.
fn our_handler() -> libc::sighandler_t {
    on_signal as extern "C" fn(_) as libc::sighandler_t
}

/// Puts our action in the place of the default action. Any other action stays: that of the program,
/// an ignored signal's, or ours.
fn install_for(signal: libc::c_int) -> Result<()> {
    let mut expected = exchange(signal, None)?;
    if expected.sa_sigaction != libc::SIG_DFL {
        return Ok(());
    }
    let mut new = default_action();
    new.sa_sigaction = our_handler();
    // Not SA_ONSTACK: an alternate stack may have room for one frame, and a second signal may come
    // during the first.
    new.sa_flags = libc::SA_RESTART;
    // sigaction(2) has no compare-and-swap: an action that another thread has installed between the
    // two calls goes back.
    loop {
        let found = exchange(signal, Some(&new))?;
        if found.sa_sigaction == expected.sa_sigaction || found.sa_sigaction == our_handler() {
            return Ok(());
        }
        (expected, new) = (new, found);
    }
}

/// `SIG_DFL` with an empty mask and no flags.
fn default_action() -> libc::sigaction {
    // SAFETY: all zero is just that.
    unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() }
}

/// sigaction(2): the present action, and a new one in its place if given. Async-signal-safe if it
/// succeeds.
fn exchange(signal: libc::c_int, new: Option<&libc::sigaction>) -> Result<libc::sigaction> {
    swap_action(signal, new).map_err(|errno| failed("change the signal action of", errno))
}

/// As [`exchange`]. Async-signal-safe.
fn swap_action(
    signal: libc::c_int,
    new: Option<&libc::sigaction>,
) -> std::result::Result<libc::sigaction, Errno> {
    let mut present = default_action();
    // SAFETY:
    // - `new` is null or valid for reads, `present` valid for writes.
    // - a new handler, if there is one, is `on_signal` (async-signal-safe), the default, or what
    //   the program had there.
    let answer = unsafe {
        libc::sigaction(signal, new.map_or(null(), std::ptr::from_ref), &raw mut present)
    };
    match answer {
        0 => Ok(present),
        _ => Err(Errno::from_raw_os_error(errno())),
    }
}

extern "C" fn at_exit() {
    give_back_of(executing_thread());
    wake_again();
}

/// Ends the process if the kernel has called this as the signal's action; returns at once if
/// another handler has.
///
/// A handler that replaced ours calls it with one argument or with three, as it likes: it takes
/// one. Async-signal-safe: atomics and system calls.
extern "C" fn on_signal(signal: libc::c_int) {
    let errno = errno();
    // A sandbox that refuses the question: a signal that is to end the process must not be lost.
    let is_the_action =
        || swap_action(signal, None).map_or(true, |present| present.sa_sigaction == our_handler());
    if is_ending() || is_the_action() {
        end_by(signal);
    }
    set_errno(errno);
}

/// This process and this thread of it, as the kernel has them at this moment.
///
/// Not [`this_thread_by_number`](crate::sys::thread::this_thread_by_number): in a child that shares our
/// memory, as after vfork(2), that is still its parent's thread, whose locks are not the child's to
/// release.
fn executing() -> u64 {
    let process = getpid().as_raw_nonzero().get().unsigned_abs();
    u64::from(process) << 32 | u64::from(executing_thread())
}

fn executing_thread() -> u32 {
    gettid().as_raw_nonzero().get().unsigned_abs()
}

/// Whether a thread of this process has begun to end it: then `die_by` may have taken our action
/// away already.
fn is_ending() -> bool {
    ENDED_BY.load(Acquire) >> 32 == executing() >> 32 // partner: the update in `end_by`
}

/// Releases what this thread holds, has the other threads do the same, and dies by the signal.
fn end_by(signal: libc::c_int) {
    let me = executing();
    give_back_of(executing_thread());
    // Partner: the same update on another thread. One ends the process, the others stop.
    match ENDED_BY.fetch_update(AcqRel, Acquire, |ender| (ender >> 32 != me >> 32).then_some(me)) {
        Ok(_) => {}
        Err(ender) if ender == me => return, // a second signal during the first
        Err(_) => loop {
            // SAFETY: waits for a signal; async-signal-safe.
            unsafe { libc::pause() };
        },
    }
    for round in 0..ROUNDS.load(Relaxed) {
        if summon_others(executing_thread(), signal, round == 0) == 0 {
            break;
        }
        let _ = nanosleep(&timespec(ROUND));
    }
    wake_again();
    die_by(signal);
}

/// Ends the process as if nobody had handled the signal. Async-signal-safe.
fn die_by(signal: libc::c_int) -> ! {
    let _ = swap_action(signal, Some(&default_action()));
    // SAFETY: raising a signal that exists. It is blocked while its handler runs, so it stays
    // pending.
    unsafe { libc::raise(signal) };
    signal_mask::unblock(signal); // now it is delivered
    // Still here: the first process of a pid namespace does not die of its own signals. Then it
    // exits as a shell would. SAFETY: ends the process without running anything.
    unsafe { libc::_exit(128 + signal) }
}

/// Gives back every lock that `thread` holds; DIED tells the next owner that the section was cut
/// short.
fn give_back_of(thread: u32) {
    registry::for_each(|pinned| {
        // The kernel's number alone may be that of a thread that has ended, and whose handle works
        // on elsewhere.
        if pinned.thread == thread && pinned.thread_number == number_as_known() && holds(pinned) {
            give_back(pinned);
        }
    });
}

/// Makes up for wakes that die with this process: of a thread that has given a lock back and not
/// come to wake yet, in a handler like this or without; and of one that was woken and has not come
/// to take the lock. Who is woken for nothing looks at the word and goes back to sleep.
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
                let process = getpid().as_raw_nonzero().get();
                // SAFETY: tgkill(2) checks its numbers; a thread that is gone is no error worth
                // telling.
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
