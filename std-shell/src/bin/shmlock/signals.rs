//! Signals as something to be read: they are blocked, and come from a descriptor. signalfd(2).

#![allow(unsafe_code, reason = "signal sets, signalfd and kill exist in libc only")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// What is passed on to a program that runs under the lock; each ends a program that does not handle it.
const FORWARDED: [libc::c_int; 7] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM, libc::SIGUSR1, libc::SIGUSR2, libc::SIGALRM];

/// A set of blocked signals, as a thread had it.
#[derive(Clone, Copy)]
pub(crate) struct Mask(libc::sigset_t);

impl Mask {
    /// This thread's.
    pub(crate) fn present() -> Self {
        change(libc::SIG_BLOCK, &set_of(&[]))
    }

    /// Makes it this thread's again. Async-signal-safe.
    pub(crate) fn restore(&self) {
        change(libc::SIG_SETMASK, &self.0);
    }
}

/// A signal that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// A child has ended or stopped.
    Child,
    /// A signal that somebody sent to this process.
    Sent(libc::c_int),
    /// A signal by which the terminal reached all of its foreground programs, our child included: Ctrl-C, a hangup.
    FromTerminal(libc::c_int),
}

/// Receives [`FORWARDED`] and SIGCHLD, which stay blocked in this thread. What was ignored when we were started, as by
/// nohup(1), stays ignored.
pub(crate) struct Signals {
    fd: OwnedFd,
}

impl Signals {
    /// Blocks and receives them from now on. What was pending is received, too.
    pub(crate) fn receive() -> io::Result<Self> {
        // Where it is ignored, as under some supervisors, a child's status could not be waited for.
        // SAFETY: the default action is no handler.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
        let heard: Vec<_> =
            FORWARDED.into_iter().filter(|signal| !is_ignored(*signal)).chain([libc::SIGCHLD]).collect();
        let set = set_of(&heard);
        change(libc::SIG_BLOCK, &set);
        // SAFETY: a new descriptor, for a valid set.
        let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC) };
        if fd == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just opened, and nobody else knows it.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// The next one. Blocks until there is one.
    pub(crate) fn next(&self) -> io::Result<Arrived> {
        const LEN: usize = size_of::<libc::signalfd_siginfo>();
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        loop {
            // SAFETY: the descriptor is open, and the memory is ours and LEN bytes long.
            let read = unsafe { libc::read(self.fd.as_raw_fd(), info.as_mut_ptr().cast(), LEN) };
            if usize::try_from(read) == Ok(LEN) {
                break;
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        // SAFETY: plain numbers, zeroed and then written by the kernel.
        let info = unsafe { info.assume_init() };
        let number = libc::c_int::try_from(info.ssi_signo).unwrap_or(0);
        Ok(match number {
            libc::SIGCHLD => Arrived::Child,
            _ if info.ssi_code == libc::SI_KERNEL => Arrived::FromTerminal(number),
            _ => Arrived::Sent(number),
        })
    }

    /// Ends receiving: what has come meanwhile and what comes changes nothing any more. For whoever knows already how it
    /// ends and only gives the lock back, which unblocks signals: one of them would end it in another way, before the lock
    /// is closed. POSIX has what is pending discarded by this, signal(7).
    pub(crate) fn end(self) {
        for signal in FORWARDED {
            // SAFETY: to ignore a signal is no handler.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
        drop(self.fd);
    }
}

impl AsFd for Signals {
    /// Readable when there is a signal.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Sends a signal to a child that has not been waited for. That it has ended is no error.
pub(crate) fn send(child: u32, signal: libc::c_int) {
    let Ok(child) = libc::pid_t::try_from(child) else { return };
    // SAFETY: kill(2) with two numbers.
    unsafe { libc::kill(child, signal) };
}

fn is_ignored(signal: libc::c_int) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: a signal that exists, nothing to be set, and a valid place for what is.
    unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: all zero is a valid action, the default one; and the kernel wrote the real one.
    unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

fn set_of(signals: &[libc::c_int]) -> libc::sigset_t {
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

/// Changes this thread's mask; gives back the former. `pthread_sigmask(3)` cannot fail with valid arguments.
fn change(how: libc::c_int, set: &libc::sigset_t) -> Mask {
    let mut before = MaybeUninit::uninit();
    // SAFETY: an empty set is written first, so that the result is defined whatever the next call does.
    unsafe { libc::sigemptyset(before.as_mut_ptr()) };
    // SAFETY: both pointers are valid for the call.
    unsafe { libc::pthread_sigmask(how, std::ptr::from_ref(set), before.as_mut_ptr()) };
    // SAFETY: initialised by sigemptyset.
    Mask(unsafe { before.assume_init() })
}
