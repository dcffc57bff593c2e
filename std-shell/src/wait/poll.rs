//! Sleeping for an interval and looking again: for kernels, sandboxes and peers without a usable
//! futex.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use rustix::thread::{NanosleepRelativeResult, nanosleep};

use crate::event::WAITING_ALLOWED;
use crate::wait::futex;

/// Sleeps for `interval`, or until the event is set. A signal ends the sleep early: the caller
/// looks again anyway.
pub(crate) fn sleep(interval: Duration, event: Option<&AtomicU32>) {
    match event {
        Some(event) => {
            futex::wait(event, WAITING_ALLOWED, interval);
        }
        None => sleep_awhile(interval),
    }
}

/// Sleeps for so long, or until a signal comes, nanosleep(2). Where even that is refused, it yields
/// the processor.
pub(super) fn sleep_awhile(interval: Duration) {
    match nanosleep(&futex::timespec(interval)) {
        NanosleepRelativeResult::Ok | NanosleepRelativeResult::Interrupted(_) => {}
        NanosleepRelativeResult::Err(_) => std::thread::yield_now(),
    }
}
