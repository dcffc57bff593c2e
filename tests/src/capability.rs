//! Detects what a test needs and an emulator of system calls may lack. A test without it reports
//! that it is skipped; it runs where a kernel is (see `cross-tests/README.md`).

#![allow(unsafe_code, reason = "system calls that are meant to fail")]

use std::ptr::{null, null_mut};
use std::{env, io};

use crate::skip::skipped;
use crate::step::ptrace;

/// A feature that user-mode emulation lacks, or that a shared machine does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// A forked child does not inherit what its parent excludes: `MADV_DONTFORK`,
    /// `MADV_WIPEONFORK`.
    KeepMemoryFromChildren,
    /// A child can be forked while another thread of its parent is in a system call. An emulator's
    /// own mutexes, locked by that thread, stay locked in the child.
    ForkDuringCalls,
    /// A handler with `SA_RESTART` ends a sleep with a timeout, signal(7). An emulator restarts it.
    EndSleepsByAnyHandler,
    /// A thread can sleep on two words at one time, `futex_waitv(2)`. Without it an exit event is
    /// noticed at the end of a poll interval.
    SleepOnTwoWords,
    /// The test may set the wall clock: the machine was made for the tests, and the variable says
    /// so.
    SetTheClock,
    /// A child can be stopped at each of its instructions, ptrace(2). For tests that run alone: the
    /// check forks.
    StopAtInstructions,
}

/// Set where the tests may set the machine's clock.
const MAY_SET_CLOCK: &str = "SHMLOCK_TESTS_MAY_SET_CLOCK";

impl Capability {
    fn is_here(self) -> bool {
        match self {
            Self::KeepMemoryFromChildren => {
                // An emulator that ignores advice accepts every number. Linux has no advice of this
                // value.
                const BOGUS: libc::c_int = 0x0053_484c;
                // SAFETY: with length 0 no memory is affected, whatever the advice.
                unsafe { libc::madvise(null_mut(), 0, BOGUS) != 0 }
            }
            // The same emulators.
            Self::ForkDuringCalls | Self::EndSleepsByAnyHandler => {
                Self::KeepMemoryFromChildren.is_here()
            }
            Self::SleepOnTwoWords => {
                let (none, no_flags) = (0_u32, 0_u32);
                // SAFETY: futex_waitv(2) of no futexes reads nothing.
                let answer = unsafe {
                    let nothing: *const libc::c_void = null();
                    libc::syscall(libc::SYS_futex_waitv, nothing, none, no_flags, nothing, 0)
                };
                answer == -1 && io::Error::last_os_error().raw_os_error() != Some(libc::ENOSYS)
            }
            Self::SetTheClock => env::var_os(MAY_SET_CLOCK).is_some(),
            Self::StopAtInstructions => ptrace::is_possible(),
        }
    }

    fn lack(self) -> &'static str {
        match self {
            Self::KeepMemoryFromChildren => {
                "madvise(2) is not followed here: children inherit the parent's mapping"
            }
            Self::ForkDuringCalls => {
                "an emulator of system calls: its own mutexes stay locked in a forked child"
            }
            Self::EndSleepsByAnyHandler => {
                "an emulator of system calls: it restarts a sleep after a handler with SA_RESTART"
            }
            Self::SetTheClock => {
                "the tests may not set this machine's clock (SHMLOCK_TESTS_MAY_SET_CLOCK)"
            }
            Self::SleepOnTwoWords => {
                "no futex_waitv(2) here: an event is noticed at the end of a poll interval"
            }
            Self::StopAtInstructions => "no ptrace(2) or no /proc/PID/syscall here, or not x86-64",
        }
    }
}

/// Returns `true` if the system has this capability; otherwise reports that the running test is
/// skipped, and why.
#[must_use]
pub fn can(capability: Capability) -> bool {
    let here = capability.is_here();
    if !here {
        skipped(capability.lack());
    }
    here
}
