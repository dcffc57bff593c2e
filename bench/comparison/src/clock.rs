//! What time is it, the same in all processes? And how much processor time have we used?

#![allow(unsafe_code, reason = "getrusage(2), which rustix does not have")]

use std::mem::MaybeUninit;

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of the monotonic clock.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    // Neither is negative; the sum fits for 584 years after the start of the machine.
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000
        + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// What getrusage(2) says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Processor time, by the program and by the kernel for it, in nanoseconds.
    pub cpu: u64,
    /// How often it went to sleep.
    pub sleeps: u64,
}

/// Used by this process so far.
pub(crate) fn used() -> Usage {
    of(libc::RUSAGE_SELF)
}

/// Used by children that have ended and been waited for.
pub(crate) fn used_by_children() -> Usage {
    of(libc::RUSAGE_CHILDREN)
}

fn of(whose: libc::c_int) -> Usage {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: there is room for the answer. It cannot fail with these arguments; else it is zeros.
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
