//! Implements a timer of `CLOCK_BOOTTIME` (`timerfd_create(2)`).

use std::io;
use std::os::fd::OwnedFd;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::clock::BootInstant;

/// A timer of the clock that counts suspended time.
pub(crate) struct Timer(OwnedFd);

impl Timer {
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Self(timerfd_create(TimerfdClockId::Boottime, flags)?))
    }

    /// Makes it ring at `instant`, at once if that has passed.
    pub(crate) fn set(&self, instant: BootInstant) -> io::Result<()> {
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: instant.as_timespec(),
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::ABSTIME, &once)?;
        Ok(())
    }

    /// Returns the descriptor, which is readable once it has rung.
    pub(crate) fn descriptor(&self) -> &OwnedFd {
        &self.0
    }
}
