//! Restores for the command the dispositions and streams that this process changes for itself.
//!
//! Before `main` the runtime of std ignores SIGPIPE, and opens `/dev/null` on each closed standard
//! stream, so that no file of this program takes its number. `run` sets the default action of
//! SIGCHLD, because it waits for the command. A command under `run` finds all three as `run` found
//! them. Nothing here changes any other inherited attribute.

#![allow(
    unsafe_code,
    reason = "a function that runs before std's runtime, and one that runs between fork and exec"
)]

use std::mem::MaybeUninit;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;

/// The signals whose disposition this program or the runtime changes.
const CHANGED: [libc::c_int; 2] = [libc::SIGPIPE, libc::SIGCHLD];

/// The numbers of the standard streams.
const STREAMS: [libc::c_int; 3] = [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO];

/// The signals of [`CHANGED`] that were ignored, one bit each.
static IGNORED: AtomicU8 = AtomicU8::new(0);

/// The streams of [`STREAMS`] that were closed, one bit each.
static CLOSED: AtomicU8 = AtomicU8::new(0);

// SAFETY:
// * The section is a list of functions of this type. The C library calls them before `main`, on the
//   only thread.
// * The C library may pass arguments, which a C function without parameters ignores.
// * The function makes system calls and stores to statics. It needs nothing of the runtime, which
//   has not started yet.
#[used]
#[unsafe(link_section = ".init_array")]
static NOTE: extern "C" fn() = note;

/// Notes the state that the runtime changes after it.
extern "C" fn note() {
    let bits = |found: &mut dyn Iterator<Item = bool>| {
        found.enumerate().map(|(n, is)| u8::from(is) << n).sum()
    };
    // Relaxed: read by the thread that stores, and by the child that it forks.
    IGNORED.store(bits(&mut CHANGED.iter().map(|signal| is_ignored(*signal))), Relaxed);
    CLOSED.store(bits(&mut STREAMS.iter().map(|stream| is_closed(*stream))), Relaxed);
}

/// Restores the noted state in the process that becomes the command. Async-signal-safe.
pub(crate) fn restore() {
    // Partner of both: `note`.
    let (ignored, closed) = (IGNORED.load(Relaxed), CLOSED.load(Relaxed));
    for (n, signal) in CHANGED.into_iter().enumerate() {
        let action = if ignored & 1 << n == 0 { libc::SIG_DFL } else { libc::SIG_IGN };
        // SAFETY: the action is no handler.
        unsafe { libc::signal(signal, action) };
    }
    for (n, stream) in STREAMS.into_iter().enumerate() {
        if closed & 1 << n != 0 {
            // SAFETY: it was closed when the program started, so no object of the program owns it.
            unsafe { libc::close(stream) };
        }
    }
}

/// Returns `true` if the disposition of this signal is to ignore it, sigaction(2).
pub(crate) fn is_ignored(signal: libc::c_int) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a signal that exists, null for no change, and a valid place for the present action.
    unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: all zero is a valid action, the default one, and the kernel wrote the real one.
    unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

fn is_closed(stream: libc::c_int) -> bool {
    // SAFETY: fcntl(2) with two numbers, which fails if the first is no descriptor.
    unsafe { libc::fcntl(stream, libc::F_GETFD) == -1 }
}
