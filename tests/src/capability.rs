//! What a test may need of the system, and an emulator of system calls may lack. A test without it
//! says so and ends; it is then run where a kernel is (see `cross-tests/README.md`).

#![allow(unsafe_code, reason = "system calls that are meant to fail")]

use std::ptr::{null, null_mut};
use std::{env, io};

use crate::skip::skipped;
use crate::step::ptrace;

/// Something that user-mode emulation does not do, or that a shared machine does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// A forked child does not have what its parent keeps to itself: `MADV_DONTFORK`,
    /// `MADV_WIPEONFORK`.
    KeepMemoryFromChildren,
    /// A child can be forked while another thread of its parent is in a system call. An emulator's
    /// own mutexes, locked by that thread, stay locked in the child.
    ForkDuringCalls,
    /// A sleep on two words at one time: `futex_waitv(2)`. Without it an exit event ends a poll
    /// interval, not a sleep.
    SleepOnTwoWords,
    /// The wall clock is the test's own, to be set at will: a machine made for the tests, where
    /// this variable says so.
    SetTheClock,
    /// A child can be stopped at each of its instructions, ptrace(2). For tests that run alone:
    /// finding out forks.
    StopAtInstructions,
}

/// Set where the tests may set the machine's clock.
const MAY_SET_CLOCK: &str = "SHMLOCK_TESTS_MAY_SET_CLOCK";

impl Capability {
    fn is_here(self) -> bool {
        match self {
            Self::KeepMemoryFromChildren => {
                // An emulator that does not follow advice accepts every number. Linux knows none of
                // this value.
                const BOGUS: libc::c_int = 0x0053_484c;
                // SAFETY: with length 0 no memory is affected, whatever the advice.
                unsafe { libc::madvise(null_mut(), 0, BOGUS) != 0 }
            }
            // The same emulators.
            Self::ForkDuringCalls => Self::KeepMemoryFromChildren.is_here(),
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
            Self::SetTheClock => {
                "this machine's clock is not ours to set; an emulated one's is (SHMLOCK_TESTS_MAY_SET_CLOCK)"
            }
            Self::SleepOnTwoWords => {
                "no futex_waitv(2) here: an event is noticed at the end of a poll interval"
            }
            Self::StopAtInstructions => "no ptrace(2) or no /proc/PID/syscall here, or not x86-64",
        }
    }
}

/// Whether the running test can show here what it is about. If not, says which one it is and why.
#[must_use]
pub fn can(capability: Capability) -> bool {
    let here = capability.is_here();
    if !here {
        skipped(capability.lack());
    }
    here
}
