//! Sleeping for an interval and looking again: for kernels, sandboxes and peers without a usable futex.

use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::{NanosleepRelativeResult, nanosleep};

use crate::event::WAITING_ALLOWED;
use crate::wait::futex;
use std::sync::atomic::AtomicU32;

/// Sleeps for `interval`, or until the event is set. A signal ends the sleep early: the caller looks again anyway.
pub(crate) fn sleep(interval: Duration, event: Option<&AtomicU32>) {
    match event {
        Some(event) => {
            futex::wait(event, WAITING_ALLOWED, interval);
        }
        None => match nanosleep(&futex::timespec(interval)) {
            NanosleepRelativeResult::Ok | NanosleepRelativeResult::Interrupted(_) => {}
            NanosleepRelativeResult::Err(errno) => debug_assert_eq!(errno, Errno::INVAL),
        },
    }
}
