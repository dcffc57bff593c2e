//! Installs the handlers that release this process's locks when it exits, or dies by SIGINT,
//! SIGTERM or SIGHUP.
//!
//! The specification is at [`ExitHandlers`]. `ending.rs` has the handlers themselves.

#![allow(unsafe_code, reason = "rustix has no atexit")]

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::process::ending::{at_exit, our_handler, set_grace};
use crate::process::signal_action::{default_action, present, replace};
use crate::sys::fork_gate::{self, NoForkGuard};
use crate::sys::signal_mask::ENDING;

/// Stores that [`at_exit`] is registered. A forked child inherits this with the registration.
///
/// Not a `Once`: a child that is forked during the registration would wait for it for ever.
static AT_EXIT: AtomicBool = AtomicBool::new(false);

/// Releases the locks of this process when it exits, or is ended by SIGINT, SIGTERM or SIGHUP.
///
/// The handlers belong to the process and stay until it ends. Safety does not depend on them: a
/// dead owner's lock is recovered in any case. They spare the next owner the wait for a probe.
///
/// # What happens when
///
/// A lock may be released only if the thread in the critical section **cannot continue**;
/// otherwise two threads would be inside. On exit(3), and on return from `main`, the locks of the
/// exiting thread are released. Other threads still run: the kernel frees their locks a moment
/// later, with the process.
///
/// On a signal, the signal's action at that moment decides:
///
/// * **Ours**, because it was the default action at [`install`](Self::install), or because a later
///   handler has restored ours. The process dies by the signal. The interrupted thread's locks are
///   released. Each other thread that holds a lock is sent the same signal, releases its locks and
///   stops there. A thread that blocks the signal is waited for during the [grace](Self::grace)
///   time; then the kernel frees its locks.
/// * **A handler from before `install`**, which leaves it in place. It runs, and the critical
///   section continues when it returns. If it calls exit(3), the rule for exit applies.
/// * **A handler from after `install`**, whether it calls ours or not. It decides. Ours returns to
///   it at once and releases nothing, so that a graceful shutdown runs: tokio and signal-hook call
///   the action that they have replaced. If the process then exits, the rule for exit applies; if
///   it dies, the kernel frees its locks.
/// * **The default action**, which the program has restored after `install`. The process dies at
///   once; the kernel frees its locks.
/// * **Ignored**, before `install` (nohup(1)) or after. Nothing happens.
///
/// If all threads block the signal (sigwait(3), signalfd(2)), no handler runs until a thread
/// unblocks it; the program decides.
///
/// Such a release sets DIED: the critical section was cut short, and
/// [`Guard::recovered`](crate::Guard::recovered) tells the next owner.
///
/// # Limits
/// The handlers do not run on SIGKILL, `_exit`, abort or a crash: there the kernel's proof of death
/// serves. The file of a lock whose last handle was not dropped stays, as after any exit without
/// destructors; the next handle that is closed removes it.
///
/// Our handler reads the signal's action when it runs. If another thread replaces the action at the
/// very moment when the kernel delivers a signal, our handler may run and leave the signal to a new
/// handler that has not seen it. Send the signal again.
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

/// The default of [`ExitHandlers::grace`]. Arbitrary: a thread needs microseconds unless it blocks
/// the signal or has no CPU to run on.
const DEFAULT_GRACE: Duration = Duration::from_millis(100);

impl ExitHandlers {
    /// Selects exit(3) and the three signals.
    pub const fn all() -> Self {
        Self { at_exit: true, signals: true, grace: DEFAULT_GRACE }
    }

    /// Selects exit(3), which return from `main` calls.
    pub const fn at_exit() -> Self {
        Self { at_exit: true, signals: false, grace: DEFAULT_GRACE }
    }

    /// Selects SIGINT, SIGTERM and SIGHUP.
    pub const fn signals() -> Self {
        Self { at_exit: false, signals: true, grace: DEFAULT_GRACE }
    }

    /// Sets how long a process that dies by a signal waits until its other threads have released
    /// their locks. The default is 100 ms. The last [`install`](Self::install) for signals decides.
    ///
    /// # Limits
    /// The process waits in steps of a millisecond, which take longer on a busy machine.
    pub const fn grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// Installs the selected handlers, by atexit(3) and sigaction(2).
    ///
    /// Replaces a signal's action if it is the default, and leaves any other. So a second call
    /// changes nothing where our action stands, keeps a later handler of the program, and replaces
    /// a default action that the program has restored. A forked child inherits the handlers; exec
    /// resets them.
    ///
    /// Does not block. Several threads may call it at once, and a forked child may call it.
    ///
    /// # Errors
    /// [`Error::System`] if atexit(3) or sigaction(2) fails.
    pub fn install(self) -> Result<()> {
        if self.at_exit {
            install_at_exit()?;
        }
        if self.signals {
            set_grace(self.grace);
            ENDING.into_iter().try_for_each(install_for)?;
        }
        Ok(())
    }
}

fn failed(operation: &'static str, errno: Errno) -> Error {
    Error::System { operation, path: "this process".into(), errno }
}

/// Registers [`at_exit`] once. Two threads at once may register it twice, which is harmless: the
/// second run finds no lock to release.
fn install_at_exit() -> Result<()> {
    // Partner: the store below. Relaxed: no other memory depends on it.
    if AT_EXIT.load(Relaxed) {
        return Ok(());
    }
    // A child that is forked during atexit(3) would inherit a locked lock of libc.
    fork_gate::register();
    let _no_fork = NoForkGuard::begin();
    // SAFETY: `at_exit` may be called at any time on any thread, and does not unwind.
    if unsafe { libc::atexit(at_exit) } != 0 {
        return Err(failed("register an atexit handler in", Errno::NOMEM));
    }
    AT_EXIT.store(true, Relaxed); // partner: the load above
    Ok(())
}

/// Replaces the signal's action by ours if it is the default action.
fn install_for(signal: libc::c_int) -> Result<()> {
    let refused = |errno| failed("change the signal action of", errno);
    let mut expected = present(signal).map_err(refused)?;
    if expected.sa_sigaction != libc::SIG_DFL {
        return Ok(());
    }
    let mut new = default_action();
    new.sa_sigaction = our_handler();
    // Without SA_ONSTACK: an alternate stack may have room for one frame, and a second signal may
    // arrive during the first.
    new.sa_flags = libc::SA_RESTART;
    // sigaction(2) has no compare-and-swap. If another thread has installed an action between the
    // two calls, that action is restored.
    loop {
        let found = replace(signal, &new).map_err(refused)?;
        if found.sa_sigaction == expected.sa_sigaction || found.sa_sigaction == our_handler() {
            return Ok(());
        }
        (expected, new) = (new, found);
    }
}
