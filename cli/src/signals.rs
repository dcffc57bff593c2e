//! Receives the signals of `run` and `hold`: by a handler and an exit event during the wait for the
//! lock, then by signalfd(2).
//!
//! From [`Interrupts::catch`] on no signal of [`FORWARDED`] ends the process by its default action.
//! So none ends it while it holds the lock. The first process of a pid namespace, whose default
//! action is to ignore them, ends by them all the same.

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

/// The signals that `run` forwards to the command. Each ends a program that does not handle it.
const FORWARDED: [libc::c_int; 7] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
];

/// The signal mask of a thread.
#[derive(Clone, Copy)]
pub(crate) struct Mask(libc::sigset_t);

impl Mask {
    /// Returns the mask of this thread.
    pub(crate) fn present() -> Self {
        change(libc::SIG_BLOCK, &set_of(&[]))
    }

    /// Sets it as the mask of this thread. Async-signal-safe.
    pub(crate) fn restore(&self) {
        change(libc::SIG_SETMASK, &self.0);
    }
}

/// The exit event that ends the wait for the lock.
static EVENT: OnceLock<ExitEvent> = OnceLock::new();

/// The first signal that the handler caught; 0 if none.
static CAUGHT: AtomicI32 = AtomicI32::new(0);

/// Proof that the handlers are in place: the first signal ends the wait for the lock.
pub(crate) struct Interrupts(());

impl Interrupts {
    /// Returns the event that ends the wait for the lock.
    pub(crate) fn event() -> &'static ExitEvent {
        EVENT.get_or_init(ExitEvent::new)
    }

    /// Catches [`FORWARDED`] from here on. A signal that was ignored when the program was started,
    /// as by nohup(1), stays ignored.
    pub(crate) fn catch() -> Self {
        Self::event();
        for signal in handled() {
            set_action(signal, on_signal as *const () as libc::sighandler_t);
        }
        if getpid() == Pid::INIT {
            // The orphans of a pid namespace become its first process's children. With SIGCHLD
            // ignored the kernel reaps them, wait(2).
            set_action(libc::SIGCHLD, libc::SIG_IGN);
            while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        }
        Self(())
    }

    /// Returns the first signal that was caught.
    pub(crate) fn caught() -> Option<i32> {
        // Partner: `on_signal`, on this thread, or on a `SignalThread`: a stale value is
        // read again after that was joined.
        Some(CAUGHT.load(Relaxed)).filter(|signal| *signal != 0)
    }
}

/// A thread that takes the signals of this process during the wait, so that every other thread may
/// have them blocked.
///
/// The client of the fleet starts threads while it waits and while the lock is held. They inherit
/// the mask of the thread that starts them, and must never be given a signal: once the handlers are
/// gone, it would end the process.
#[cfg(feature = "fleet")]
pub(crate) struct SignalThread {
    end: std::sync::mpsc::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

#[cfg(feature = "fleet")]
impl SignalThread {
    /// Blocks [`FORWARDED`] and SIGCHLD in this thread, and starts the thread that has this mask
    /// instead.
    pub(crate) fn start(_: &Interrupts, mask: Mask) -> io::Result<Self> {
        block();
        // A thread that has it unblocked would discard it.
        change(libc::SIG_BLOCK, &set_of(&[libc::SIGCHLD]));
        let (end, ended) = std::sync::mpsc::channel();
        let listen = move || {
            mask.restore();
            let _ = ended.recv(); // an error is the end, too
        };
        let thread = std::thread::Builder::new().name("shmlock-signals".into()).spawn(listen)?;
        Ok(Self { end, thread })
    }

    /// Ends the thread. A signal that comes from now on stays pending.
    pub(crate) fn end(self) {
        drop(self.end);
        let _ = self.thread.join(); // it does not panic
    }
}

/// Notes a signal, and ends the wait. Async-signal-safe: an atomic access, and [`ExitEvent::set`].
extern "C" fn on_signal(signal: libc::c_int) {
    // Partner: `Interrupts::caught`, on this thread or on the main one. The program ends by the
    // first signal.
    let _ = CAUGHT.compare_exchange(0, signal, Relaxed, Relaxed);
    if let Some(event) = EVENT.get() {
        let _ = event.set(); // fails in a forked child only
    }
}

/// An arrival from signalfd(2).
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
    /// `true` if the kernel sent it: for a key, a hangup of the terminal, or a timer.
    pub(crate) by_kernel: bool,
}

/// Receives [`FORWARDED`] and SIGCHLD, which stay blocked in this thread. A signal that was ignored
/// when the program was started stays ignored. signalfd(2).
pub(crate) struct Signals {
    fd: OwnedFd,
}

impl Signals {
    /// Blocks the signals and receives them, pending ones included.
    pub(crate) fn receive(_: Interrupts) -> io::Result<Self> {
        let set = set_of(&handled().chain([libc::SIGCHLD]).collect::<Vec<_>>());
        change(libc::SIG_BLOCK, &set);
        // Blocked signals need no handler, and the child must not run one between fork and exec.
        handled().for_each(|signal| set_action(signal, libc::SIG_DFL));
        // Ignored, as under some supervisors, it would discard the status of a child.
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
    /// Ignores the signals, pending ones included, from here on.
    ///
    /// How the process ends is decided by now. The release of the lock unblocks signals, and one of
    /// them would end the process in another way, before the lock is closed. Ignoring a signal
    /// discards it where it is pending, signal(7).
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
pub(crate) fn handled() -> impl Iterator<Item = libc::c_int> {
    FORWARDED.into_iter().filter(|signal| !is_ignored(*signal))
}

/// Blocks [`FORWARDED`], before the lock is released by a process that could not become the
/// command. Async-signal-safe.
pub(crate) fn block() {
    change(libc::SIG_BLOCK, &set_of(&FORWARDED));
}

/// Sends a signal to a child that has not been reaped. It is no error if the child has ended.
pub(crate) fn send(child: Pid, signal: libc::c_int) {
    // SAFETY: kill(2) with two numbers.
    unsafe { libc::kill(child.as_raw_pid(), signal) };
}

/// Ends this process by a signal, without a core dump. Returns in the first process of a pid
/// namespace, which no signal of its own ends.
pub(crate) fn end_by(signal: libc::c_int) {
    // The command has dumped its own core; the wrapper's is of no use. A failure only means a dump.
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), ..getrlimit(Resource::Core) });
    set_action(signal, libc::SIG_DFL);
    // SAFETY: raise(3) with a signal that exists, and no handler.
    unsafe { libc::raise(signal) };
    change(libc::SIG_UNBLOCK, &set_of(&[signal]));
}

/// Sets the disposition of a signal: the handler, the default action, or none.
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
