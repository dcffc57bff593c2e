//! Ends the program if a contender hangs, and on Ctrl-C. The message names the contender, and no
//! file stays behind.

#![allow(unsafe_code, reason = "signal masks and sigwait(3), which rustix does not have")]

use std::mem::MaybeUninit;
use std::process::exit;
use std::ptr::null_mut;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::prepared;

/// The bound on one measurement. The longest takes ten seconds; the rest is a reserve for slow or
/// busy machines.
const BOUND: Duration = Duration::from_secs(180);

/// Ends the program if no measurement begins for [`BOUND`].
#[derive(Debug)]
pub(crate) struct Watchdog(Sender<String>);

impl Watchdog {
    /// Starts the watchdog. The drop stops it.
    pub(crate) fn start() -> Self {
        let (sender, receiver) = channel::<String>();
        thread::spawn(move || {
            let mut label = String::from("start");
            loop {
                match receiver.recv_timeout(BOUND) {
                    Ok(next) => label = next,
                    Err(RecvTimeoutError::Disconnected) => return,
                    Err(RecvTimeoutError::Timeout) => {
                        eprintln!("error: no end after {} s: {label}", BOUND.as_secs());
                        end(1)
                    }
                }
            }
        });
        Self(sender)
    }

    /// Restarts the bound for the measurement that begins.
    pub(crate) fn begins(&self, label: &str) {
        let _ = self.0.send(label.to_owned()); // the thread receives until the drop
    }
}

/// Makes SIGINT and SIGTERM remove all files before they end the program. The caller has started no
/// other thread yet: later threads inherit the signal mask.
pub(crate) fn tidy_up_on_signals() {
    let mut signals = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: the pointer is valid for a write.
    unsafe { libc::sigemptyset(signals.as_mut_ptr()) };
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: emptied above, and the signals exist.
        unsafe { libc::sigaddset(signals.as_mut_ptr(), signal) };
    }
    // SAFETY: initialised above.
    let signals = unsafe { signals.assume_init() };
    // SAFETY: the set is initialised; the old mask may be null.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signals, null_mut()) };
    thread::spawn(move || {
        let mut signal = 0;
        // SAFETY: the set is initialised, its signals are blocked, and `signal` is valid for a
        // write.
        unsafe { libc::sigwait(&raw const signals, &raw mut signal) };
        end(128 + signal)
    });
}

/// Removes all files and exits. The kernel then kills the workers.
fn end(status: i32) -> ! {
    prepared::remove_all();
    exit(status)
}
