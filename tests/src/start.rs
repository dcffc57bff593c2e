//! Starts programs from a test, so that they inherit what the test means and nothing else.
//!
//! A test binary runs its tests as threads of one process. A program may inherit two things by
//! accident.
//!
//! * **Descriptors of another test.** Between fork and exec the program has a copy of each
//!   descriptor of the process. A byte lock lasts as long as any copy of its descriptor does. If
//!   another thread opens a lock before the fork and closes it before the exec, the copy keeps the
//!   lock in use, and the last closer leaves the file behind. The library documents this race for
//!   `posix_spawn(3)`; it makes fork(3) wait. So these programs are started by fork(3).
//! * **Ignored and blocked signals.** The tests inherit both from their own starter: nohup(1)
//!   ignores SIGHUP, and a shell without job control ignores SIGINT and SIGQUIT in background
//!   commands. A program keeps both across exec, and then does not die by the signal that the test
//!   sends.

#![allow(
    unsafe_code,
    reason = "a step between fork and exec; signal actions and masks exist in libc only"
)]

use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};
use std::ptr::null_mut;
use std::sync::Once;

use crate::fixture::quietly;

/// Starts a program with the default action of every signal, no signal blocked, and no descriptor
/// of another test.
///
/// Returns once the program runs. Tests start programs by this function or by [`output`].
///
/// # Errors
/// The system's.
pub fn start(command: &mut Command) -> io::Result<Child> {
    heed_children();
    // With a step before exec, the standard library forks by fork(3), whose handlers the library
    // installs. Without one it uses posix_spawn(3), which calls no handlers.
    // SAFETY:
    // - `heed_signals` makes system calls only: it is async-signal-safe.
    // - it touches no memory but its own stack.
    unsafe { command.pre_exec(heed_signals) };
    quietly(|| command.spawn())
}

/// Starts a program as [`start`] does, but with the signals as the command's own steps set them.
/// For tests of what a program inherits.
///
/// # Errors
/// The system's.
pub fn start_as_it_is(command: &mut Command) -> io::Result<Child> {
    heed_children();
    // For fork(3), as above.
    // SAFETY: it does nothing.
    unsafe { command.pre_exec(|| Ok(())) };
    quietly(|| command.spawn())
}

/// Starts a program as [`start`] does, without input; waits for its end and returns its output.
///
/// # Errors
/// The system's.
pub fn output(command: &mut Command) -> io::Result<Output> {
    start(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()))?
        .wait_with_output()
}

/// Gives every signal its default action, and lets every signal through. Async-signal-safe.
/// signal(2), sigprocmask(2).
#[allow(clippy::unnecessary_wraps, reason = "the type of a step before exec")]
fn heed_signals() -> io::Result<()> {
    for signal in 1..=libc::SIGRTMAX() {
        // SIGKILL, SIGSTOP and the numbers that libc keeps for itself are refused, and cannot be
        // ignored.
        // SAFETY: the default action is no handler.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let mut none = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: a valid place for a set.
    unsafe { libc::sigemptyset(none.as_mut_ptr()) };
    // SAFETY: a valid set; the former mask is not wanted.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), null_mut()) };
    Ok(())
}

/// Enables waiting for children where the process inherited that SIGCHLD is ignored: the kernel
/// then reaps them itself, and wait(2) fails.
fn heed_children() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the default action is no handler; no test binary installs a handler for this
        // signal.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    });
}
