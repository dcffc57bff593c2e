//! Keeps for the command what this process has inherited, although the runtime of std changes it
//! before `main`.
//!
//! The runtime ignores SIGPIPE, and opens `/dev/null` for each standard stream that is closed.
//! `run` itself ignores nothing of SIGCHLD, for it waits for the command. A command under `run` is
//! to find all three as `run` found them. All else that a process inherits passes through by
//! itself, for nothing here changes it.
//!
//! That nothing of ours lands on the number of a closed stream is the runtime's work, too:
//! `/dev/null` is there.

#![allow(
    unsafe_code,
    reason = "a function that runs before the runtime of std, and one that runs between fork and exec"
)]

use std::mem::MaybeUninit;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;

/// The signals whose disposition is changed here or by the runtime.
const CHANGED: [libc::c_int; 2] = [libc::SIGPIPE, libc::SIGCHLD];

/// The numbers of the standard streams.
const STREAMS: [libc::c_int; 3] = [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO];

/// Which of [`CHANGED`] were ignored, one bit each.
static IGNORED: AtomicU8 = AtomicU8::new(0);

/// Which of [`STREAMS`] were closed, one bit each.
static CLOSED: AtomicU8 = AtomicU8::new(0);

// SAFETY:
// * The section is a list of functions which the C library calls before `main`, on the only thread;
//   the type is theirs.
// * The C library may pass arguments. A C function that takes none ignores them.
// * The function calls the system and stores to statics. It needs nothing of the runtime, which is
//   not up yet.
#[used]
#[unsafe(link_section = ".init_array")]
static NOTE: extern "C" fn() = note;

/// Notes what the runtime is about to change.
extern "C" fn note() {
    let bits = |found: &mut dyn Iterator<Item = bool>| {
        found.enumerate().map(|(n, is)| u8::from(is) << n).sum()
    };
    // Relaxed: read by the thread that stores, and by the child that it forks.
    IGNORED.store(bits(&mut CHANGED.iter().map(|signal| is_ignored(*signal))), Relaxed);
    CLOSED.store(bits(&mut STREAMS.iter().map(|stream| is_closed(*stream))), Relaxed);
}

/// Gives the process that is about to become the command what was noted. Async-signal-safe.
pub(crate) fn restore() {
    // Partner of both: `note`.
    let (ignored, closed) = (IGNORED.load(Relaxed), CLOSED.load(Relaxed));
    for (n, signal) in CHANGED.into_iter().enumerate() {
        let action = if ignored & 1 << n == 0 { libc::SIG_DFL } else { libc::SIG_IGN };
        // SAFETY: neither the default action nor none is a handler.
        unsafe { libc::signal(signal, action) };
    }
    for (n, stream) in STREAMS.into_iter().enumerate() {
        if closed & 1 << n != 0 {
            // SAFETY: it was closed when the program began, so that no object of this program owns
            // it.
            unsafe { libc::close(stream) };
        }
    }
}

/// Returns `true` if the disposition of this signal is to ignore it, sigaction(2).
pub(crate) fn is_ignored(signal: libc::c_int) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a signal that exists, nothing to be set, and a valid place for what is.
    unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: all zero is a valid action, the default one; and the kernel wrote the real one.
    unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

fn is_closed(stream: libc::c_int) -> bool {
    // SAFETY: fcntl(2) with two numbers; a number that is no descriptor is an error.
    unsafe { libc::fcntl(stream, libc::F_GETFD) == -1 }
}
