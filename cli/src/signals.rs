//! Signals that reach `run` and `hold`: while they wait for the lock, an exit event; then,
//! something to be read.
//!
//! From [`Interrupts::catch`] on none of [`FORWARDED`] ends the process by itself. So none ends it
//! while it holds the lock; and as the first process of a pid namespace, where the default action
//! is to do nothing, it can be ended at all.

#![allow(
    unsafe_code,
    reason = "signal handlers, signal sets, signalfd, kill and raise exist in libc only"
)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::Relaxed;

use rustix::process::{Pid, Resource, Rlimit, WaitOptions, getpid, getrlimit, setrlimit, wait};
use shmlock::ExitEvent;

use crate::inherited::is_ignored;

/// The signals that are passed on to the command. Each ends a program that does not handle it.
const FORWARDED: [libc::c_int; 7] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
];

/// A set of blocked signals, as a thread had it.
#[derive(Clone, Copy)]
pub(crate) struct Mask(libc::sigset_t);

impl Mask {
    /// Returns this thread's.
    pub(crate) fn present() -> Self {
        change(libc::SIG_BLOCK, &set_of(&[]))
    }

    /// Makes it this thread's again. Async-signal-safe.
    pub(crate) fn restore(&self) {
        change(libc::SIG_SETMASK, &self.0);
    }
}

/// Ends the wait for the lock.
static EVENT: OnceLock<ExitEvent> = OnceLock::new();

/// The first signal that came before signals are received; 0 if none.
static CAUGHT: AtomicI32 = AtomicI32::new(0);

/// Signals while the process waits for the lock: the first one ends the wait.
pub(crate) struct Interrupts(());

impl Interrupts {
    /// Returns the event that ends the wait for the lock.
    pub(crate) fn event() -> &'static ExitEvent {
        EVENT.get_or_init(ExitEvent::new)
    }

    /// Catches [`FORWARDED`] from here on. What was ignored when the program was started, as by
    /// nohup(1), stays ignored.
    pub(crate) fn catch() -> Self {
        Self::event();
        for signal in heard() {
            set_action(signal, on_signal as *const () as libc::sighandler_t);
        }
        if getpid() == Pid::INIT {
            // The orphans of a pid namespace become its first process's children. From here on the
            // kernel reaps them, wait(2).
            set_action(libc::SIGCHLD, libc::SIG_IGN);
            while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        }
        Self(())
    }

    /// Returns the signal that was caught, if one was.
    pub(crate) fn caught() -> Option<i32> {
        Some(CAUGHT.load(Relaxed)).filter(|signal| *signal != 0) // partner: `on_signal`, on this thread
    }
}

/// Notes a signal, and ends the wait. Async-signal-safe: an atomic access, and [`ExitEvent::set`].
extern "C" fn on_signal(signal: libc::c_int) {
    // Partner: `Interrupts::caught`, on this thread. The first one is the reason why the program
    // ends.
    let _ = CAUGHT.compare_exchange(0, signal, Relaxed, Relaxed);
    if let Some(event) = EVENT.get() {
        let _ = event.set(); // an event of this process is never a forked one
    }
}

/// What arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// A child has ended or stopped.
    Child,
    /// A signal for this process.
    Sent(Sent),
}

/// A signal and its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) signal: libc::c_int,
    /// The sender's process id, in our pid namespace; 0 for the kernel, and for a sender outside
    /// of it.
    pub(crate) sender: u32,
    /// Whether the kernel itself sent it: for a key, a hangup of the terminal, or a timer.
    pub(crate) by_kernel: bool,
}

/// Receives [`FORWARDED`] and SIGCHLD, which stay blocked in this thread. What was ignored when the
/// program was started stays ignored. signalfd(2).
pub(crate) struct Signals {
    fd: OwnedFd,
}

impl Signals {
    /// Blocks and receives them from now on. What was pending is received, too.
    pub(crate) fn receive(_: Interrupts) -> io::Result<Self> {
        let set = set_of(&heard().chain([libc::SIGCHLD]).collect::<Vec<_>>());
        change(libc::SIG_BLOCK, &set);
        // Blocked signals need no handler; and the command is not to run one of ours between fork
        // and exec.
        heard().for_each(|signal| set_action(signal, libc::SIG_DFL));
        // Where it is ignored, as under some supervisors, a child's status could not be waited for.
        set_action(libc::SIGCHLD, libc::SIG_DFL);
        // SAFETY: a new descriptor, for a valid set.
        let fd =
            unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just opened, and nothing else knows it.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Returns the next one; `None` if none is pending. Does not block.
    pub(crate) fn next(&self) -> io::Result<Option<Arrived>> {
        const LEN: usize = size_of::<libc::signalfd_siginfo>();
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        loop {
            // SAFETY: the descriptor is open, and the memory is ours and LEN bytes long.
            let read = unsafe { libc::read(self.fd.as_raw_fd(), info.as_mut_ptr().cast(), LEN) };
            if usize::try_from(read) == Ok(LEN) {
                break;
            }
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => return Ok(None),
                _ => return Err(error),
            }
        }
        // SAFETY: plain numbers, zeroed and then written by the kernel.
        let info = unsafe { info.assume_init() };
        Ok(Some(match libc::c_int::try_from(info.ssi_signo).unwrap_or(0) {
            libc::SIGCHLD => Arrived::Child,
            signal => {
                let by_kernel = info.ssi_code == libc::SI_KERNEL;
                Arrived::Sent(Sent { signal, sender: info.ssi_pid, by_kernel })
            }
        }))
    }
}

impl Drop for Signals {
    /// Ends receiving: what has come meanwhile and what comes changes nothing any more.
    ///
    /// It is known then how the process ends, and only the lock is to be released, which unblocks
    /// signals: one of them would end the process in another way, before the lock is closed. POSIX
    /// has pending signals discarded by this, signal(7).
    fn drop(&mut self) {
        for signal in FORWARDED {
            set_action(signal, libc::SIG_IGN);
        }
    }
}

impl AsFd for Signals {
    /// Readable when there is a signal.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Returns those of [`FORWARDED`] that were not ignored when the program was started.
pub(crate) fn heard() -> impl Iterator<Item = libc::c_int> {
    FORWARDED.into_iter().filter(|signal| !is_ignored(*signal))
}

/// Blocks [`FORWARDED`], before the lock is released by a process that could not become the
/// command. Async-signal-safe.
pub(crate) fn block() {
    change(libc::SIG_BLOCK, &set_of(&FORWARDED));
}

/// Sends a signal to a child that has not been waited for. That it has ended is no error.
pub(crate) fn send(child: Pid, signal: libc::c_int) {
    // SAFETY: kill(2) with two numbers.
    unsafe { libc::kill(child.as_raw_pid(), signal) };
}

/// Ends this process by a signal, without a core dump. Returns if it cannot, as the first process
/// of a pid namespace.
pub(crate) fn end_by(signal: libc::c_int) {
    // The command has dumped its own core; that of a wrapper is of no use. A refusal leaves a core
    // dump, no more.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), ..getrlimit(Resource::Core) });
    set_action(signal, libc::SIG_DFL);
    // SAFETY: raise(3) with a signal that exists, and no handler.
    unsafe { libc::raise(signal) };
    change(libc::SIG_UNBLOCK, &set_of(&[signal]));
}

/// Sets what a signal does: a handler of ours, the default, or nothing.
fn set_action(signal: libc::c_int, action: libc::sighandler_t) {
    // SAFETY: a signal that exists; the only handler that is passed is `on_signal`, which is
    // async-signal-safe.
    unsafe { libc::signal(signal, action) };
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

/// Changes this thread's mask; returns the former. `pthread_sigmask(3)` cannot fail with valid
/// arguments.
fn change(how: libc::c_int, set: &libc::sigset_t) -> Mask {
    let mut before = MaybeUninit::uninit();
    // SAFETY: an empty set is written first, so that the result is defined whatever the next call
    // does.
    unsafe { libc::sigemptyset(before.as_mut_ptr()) };
    // SAFETY: both pointers are valid for the call.
    unsafe { libc::pthread_sigmask(how, std::ptr::from_ref(set), before.as_mut_ptr()) };
    // SAFETY: initialised by sigemptyset.
    Mask(unsafe { before.assume_init() })
}
