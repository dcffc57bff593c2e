//! Sleeps for an interval, for kernels, sandboxes and peers without a usable futex.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use crate::sys::futex;
use crate::sys::sleep::sleep_for;
use crate::wait::exit_event::WAITING_ALLOWED;

/// Sleeps for `interval`, or until the event is set. A signal ends the sleep early, and the result
/// is `true` then; the caller checks the lock again anyway.
pub(crate) fn sleep(interval: Duration, event: Option<&AtomicU32>) -> bool {
    match event {
        Some(event) => futex::wait(event, WAITING_ALLOWED, interval) == futex::Woke::Signalled,
        None => sleep_for(interval),
    }
}
