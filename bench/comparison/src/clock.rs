//! Reads the clock, which is the same in all processes, and the processor time used.

#![allow(unsafe_code, reason = "getrusage(2), which rustix does not have")]

use std::mem::MaybeUninit;

use rustix::time::{ClockId, clock_gettime};

/// Returns the monotonic clock, in nanoseconds (`clock_gettime(2)`).
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    // Neither is negative; the sum fits for 584 years after the boot.
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000
        + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// The values of getrusage(2).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Processor time in user and kernel mode, in nanoseconds.
    pub cpu: u64,
    /// The number of sleeps (voluntary context switches).
    pub sleeps: u64,
}

/// Returns the usage of this process.
pub(crate) fn used() -> Usage {
    of(libc::RUSAGE_SELF)
}

/// Returns the usage of the children that have ended and been waited for.
pub(crate) fn used_by_children() -> Usage {
    of(libc::RUSAGE_CHILDREN)
}

fn of(whose: libc::c_int) -> Usage {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is valid for a write. A failure would leave zeros.
    unsafe { libc::getrusage(whose, usage.as_mut_ptr()) };
    // SAFETY: plain data, zeroed above.
    let usage = unsafe { usage.assume_init() };
    let nanoseconds = |time: libc::timeval| {
        u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000
            + u64::try_from(time.tv_usec).unwrap_or(0) * 1000
    };
    Usage {
        cpu: nanoseconds(usage.ru_utime) + nanoseconds(usage.ru_stime),
        sleeps: u64::try_from(usage.ru_nvcsw).unwrap_or(0),
    }
}
