//! Sleeping in the kernel until the word changes, futex(2). Always the shared kind: the peer is
//! another process.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::futex::{self, Flags, WaitFlags, WaitvFlags};
use rustix::time::{ClockId, DynamicClockId, Timespec, clock_gettime_dynamic};

use crate::sys::sleep::{sleep_for, timespec};

/// How a sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woke {
    /// Woken, or the word had changed before we slept.
    Changed,
    /// The time was over, or a signal came.
    Elapsed,
}

/// Sleeps while `word` is `value`, for at most `limit`.
///
/// Where the kernel or a sandbox refuses futexes, by whatever errno, it sleeps for the whole limit:
/// nobody can wake us, and to return at once would make every caller spin.
#[inline]
pub(crate) fn wait(word: &AtomicU32, value: u32, limit: Duration) -> Woke {
    // Flags without PRIVATE: the kernel keys the sleeper by the file, not by this address space.
    match futex::wait(word, Flags::empty(), value, Some(&timespec(limit))) {
        Ok(()) | Err(Errno::AGAIN) => Woke::Changed,
        Err(Errno::TIMEDOUT | Errno::INTR) => Woke::Elapsed,
        Err(errno) => {
            sleep_for(pause_after(errno, limit));
            Woke::Elapsed
        }
    }
}

/// How long to sleep instead of a sleep that the kernel has refused.
///
/// EFAULT says that the word is not there: this is a child that a signal handler has forked in its
/// parent's sleep, and the kernel has begun that sleep again. The caller is to notice it soon.
fn pause_after(errno: Errno, limit: Duration) -> Duration {
    const SOON: Duration = Duration::from_millis(1);
    if errno == Errno::FAULT { limit.min(SOON) } else { limit }
}

/// Sleeps while both words have their values; `None` if that is refused (before Linux 5.16, some
/// emulators and sandboxes).
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
            sleep_for(pause_after(Errno::FAULT, limit));
            Some(Woke::Elapsed)
        }
        Err(_) => None,
    }
}

/// When a sleep ends that begins now, for `futex_waitv(2)`; `None` without a clock.
pub(crate) fn end_of(limit: Duration) -> Option<Timespec> {
    let now = clock_gettime_dynamic(DynamicClockId::Known(ClockId::Monotonic)).ok()?;
    now.checked_add(timespec(limit))
}

/// Wakes one sleeper. Async-signal-safe.
#[inline]
pub(crate) fn wake_one(word: &AtomicU32) {
    // Nobody asleep is no error; nothing else can go wrong with a valid address.
    let _ = futex::wake(word, Flags::empty(), 1);
}

/// Wakes every sleeper. Async-signal-safe.
pub(crate) fn wake_all(word: &AtomicU32) {
    let _ = futex::wake(word, Flags::empty(), i32::MAX.unsigned_abs());
}
