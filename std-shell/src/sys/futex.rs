//! Sleeps until a word changes, and wakes sleeping waiters, futex(2). Always the shared kind: the
//! peer is another process.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::futex::{self, Flags, WaitFlags, WaitvFlags};
use rustix::time::{ClockId, DynamicClockId, Timespec, clock_gettime_dynamic};

use crate::sys::sleep::{sleep_for, timespec};

/// The end of a sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woke {
    /// Woken, or the word had changed before we slept.
    Changed,
    /// The time was over.
    Elapsed,
    /// A signal was handled.
    Signalled,
}

/// Sleeps while `word` is `value`, for at most `limit`.
///
/// If the kernel or a sandbox refuses futexes, by whatever errno, it sleeps for the whole limit. No
/// process can wake it then, and an immediate return would make every caller spin.
pub(crate) fn wait(word: &AtomicU32, value: u32, limit: Duration) -> Woke {
    try_wait(word, value, limit)
        .unwrap_or_else(|| if sleep_for(limit) { Woke::Signalled } else { Woke::Elapsed })
}

/// Sleeps as [`wait`] does; `None`, without a sleep, if futexes are refused.
#[inline]
pub(crate) fn try_wait(word: &AtomicU32, value: u32, limit: Duration) -> Option<Woke> {
    // Without PRIVATE: the kernel keys the waiter by the file, not by this address space.
    match futex::wait(word, Flags::empty(), value, Some(&timespec(limit))) {
        Ok(()) | Err(Errno::AGAIN) => Some(Woke::Changed),
        Err(Errno::TIMEDOUT) => Some(Woke::Elapsed),
        Err(Errno::INTR) => Some(Woke::Signalled),
        Err(Errno::FAULT) => {
            sleep_for(sleep_in_place_of_wait(limit));
            Some(Woke::Elapsed)
        }
        Err(_) => None,
    }
}

/// Returns how long to sleep in place of a futex wait that ends by EFAULT.
///
/// The word is not mapped. This is a child that a signal handler has forked while its parent slept:
/// the kernel has restarted the wait in it. The caller must notice that soon.
fn sleep_in_place_of_wait(limit: Duration) -> Duration {
    const BRIEFLY: Duration = Duration::from_millis(1);
    limit.min(BRIEFLY)
}

/// Sleeps while both words have their values; `None` if that is refused (before Linux 5.16, some
/// emulators and sandboxes). `futex_waitv(2)`.
///
/// A signal whose handler has `SA_RESTART` does not end the sleep: the kernel restarts the call.
pub(crate) fn wait_either(
    first: (&AtomicU32, u32),
    second: (&AtomicU32, u32),
    limit: Duration,
) -> Option<Woke> {
    let end = end_of(limit)?;
    let waiters = [first, second].map(|(word, value)| {
        let mut waiter = futex::Wait::new();
        waiter.val = u64::from(value);
        waiter.uaddr = futex::WaitPtr::new(word.as_ptr().cast());
        waiter.flags = WaitFlags::SIZE_U32;
        waiter
    });
    match futex::waitv(&waiters, WaitvFlags::empty(), Some(&end), ClockId::Monotonic) {
        Ok(_) | Err(Errno::AGAIN) => Some(Woke::Changed),
        Err(Errno::TIMEDOUT) => Some(Woke::Elapsed),
        Err(Errno::INTR) => Some(Woke::Signalled),
        Err(Errno::FAULT) => {
            sleep_for(sleep_in_place_of_wait(limit));
            Some(Woke::Elapsed)
        }
        Err(_) => None,
    }
}

/// Returns the end of a sleep that begins now, for `futex_waitv(2)`; `None` without a clock.
pub(crate) fn end_of(limit: Duration) -> Option<Timespec> {
    let now = clock_gettime_dynamic(DynamicClockId::Known(ClockId::Monotonic)).ok()?;
    now.checked_add(timespec(limit))
}

/// Wakes one sleeping waiter. Async-signal-safe.
#[inline]
pub(crate) fn wake_one(word: &AtomicU32) {
    let _ = wake(word, 1);
}

/// Wakes so many sleeping waiters; returns how many it has woken. Async-signal-safe.
///
/// # Errors
/// The kernel or a sandbox refuses futexes: no waiter was woken. No waiter is no error.
#[inline]
pub(crate) fn wake(word: &AtomicU32, waiters: u32) -> Result<usize, Errno> {
    futex::wake(word, Flags::empty(), waiters)
}

/// All sleeping waiters.
pub(crate) const ALL: u32 = i32::MAX.unsigned_abs();

/// Wakes every sleeping waiter. Async-signal-safe.
pub(crate) fn wake_all(word: &AtomicU32) {
    let _ = wake(word, ALL);
}
