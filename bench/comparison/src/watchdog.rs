//! What if a contender hangs? Then the program ends, says which one, and leaves nothing behind. So
//! it does on Ctrl-C.

#![allow(unsafe_code, reason = "signal masks and sigwait(3), which rustix does not have")]

use std::mem::MaybeUninit;
use std::process::exit;
use std::ptr::null_mut;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::place;

/// How long one measurement may take. The longest takes a few seconds; the rest is for machines
/// that are slow or busy.
const BOUND: Duration = Duration::from_secs(60);

/// Ends the program if it is not told of progress.
#[derive(Debug)]
pub(crate) struct Watchdog(Sender<String>);

impl Watchdog {
    /// Starts to watch. Dropping it calls it off.
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

    /// Says what begins now.
    pub(crate) fn begins(&self, label: &str) {
        let _ = self.0.send(label.to_owned()); // it listens until we are dropped
    }
}

/// Has SIGINT and SIGTERM tidy up before they end the program. To be called before any other thread
/// is started.
pub(crate) fn tidy_up_on_signals() {
    let mut signals = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: there is room for the set.
    unsafe { libc::sigemptyset(signals.as_mut_ptr()) };
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: emptied above, and the signals exist.
        unsafe { libc::sigaddset(signals.as_mut_ptr(), signal) };
    }
    // SAFETY: initialised above.
    let signals = unsafe { signals.assume_init() };
    // SAFETY: the set is initialised, and nobody wants the old one.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signals, null_mut()) };
    thread::spawn(move || {
        let mut signal = 0;
        // SAFETY: the set is initialised, its signals are blocked, and there is room for the
        // answer.
        unsafe { libc::sigwait(&raw const signals, &raw mut signal) };
        end(128 + signal)
    });
}

/// The kernel kills the workers when we are gone.
fn end(status: i32) -> ! {
    place::remove_all();
    exit(status)
}
