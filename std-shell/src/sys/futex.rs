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
    /// The time was over, or a signal was handled.
    Elapsed,
}

/// Sleeps while `word` is `value`, for at most `limit`.
///
/// If the kernel or a sandbox refuses futexes, by whatever errno, it sleeps for the whole limit. No
/// process can wake it then, and an immediate return would make every caller spin.
#[inline]
pub(crate) fn wait(word: &AtomicU32, value: u32, limit: Duration) -> Woke {
    // Without PRIVATE: the kernel keys the waiter by the file, not by this address space.
    match futex::wait(word, Flags::empty(), value, Some(&timespec(limit))) {
        Ok(()) | Err(Errno::AGAIN) => Woke::Changed,
        Err(Errno::TIMEDOUT | Errno::INTR) => Woke::Elapsed,
        Err(errno) => {
            sleep_for(sleep_in_place_of_wait(errno, limit));
            Woke::Elapsed
        }
    }
}

/// Returns how long to sleep in place of a futex wait that the kernel has refused.
///
/// EFAULT means that the word is not mapped. This is a child that a signal handler has forked while
/// its parent slept: the kernel has restarted the wait in it. The caller must notice that soon.
fn sleep_in_place_of_wait(errno: Errno, limit: Duration) -> Duration {
    const BRIEFLY: Duration = Duration::from_millis(1);
    if errno == Errno::FAULT { limit.min(BRIEFLY) } else { limit }
}

/// Sleeps while both words have their values; `None` if that is refused (before Linux 5.16, some
/// emulators and sandboxes). `futex_waitv(2)`.
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
        Err(Errno::TIMEDOUT | Errno::INTR) => Some(Woke::Elapsed),
        Err(Errno::FAULT) => {
            sleep_for(sleep_in_place_of_wait(Errno::FAULT, limit));
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
    // No waiter is no error, and no other error is possible with a valid address.
    let _ = futex::wake(word, Flags::empty(), 1);
}

/// Wakes every sleeping waiter. Async-signal-safe.
pub(crate) fn wake_all(word: &AtomicU32) {
    let _ = futex::wake(word, Flags::empty(), i32::MAX.unsigned_abs());
}
