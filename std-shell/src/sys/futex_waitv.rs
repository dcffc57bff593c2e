//! Sleeps until one of many words changes, `futex_waitv(2)`. By address: some words may be unmapped
//! meanwhile.

#![allow(
    unsafe_code,
    reason = "a futex at an address that may have been unmapped, which rustix asks a reference for"
)]

use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::thread::futex::{self, WaitFlags, WaitvFlags};
use rustix::time::ClockId;

use crate::sys::futex::{end_of, wait};

/// The number of words that one call can sleep on: `FUTEX_WAITV_MAX`.
pub(crate) const MAX: usize = 128;

/// The longest sleep if the kernel refuses several words, and perhaps futexes altogether: then no
/// process can wake this one. Arbitrary: a fifth of the default poll interval, for about a
/// thousandth of a CPU.
const FALLBACK_SLEEP: Duration = Duration::from_millis(10);

/// A word, and the value while which to sleep.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// The wait that a wake on this word is meant for; 0 if it is meant for none in particular.
    pub(crate) ticket: u64,
    pub(crate) word: *const AtomicU32,
    pub(crate) value: u32,
}

/// The end of a sleep on several words.
#[derive(Debug)]
pub(crate) enum Woken {
    /// The time was over, a word had changed before we slept, or the wake had no particular target.
    Nothing,
    /// One waiter on this word was woken: this one.
    One(Target),
    /// The kernel cannot sleep on these words: it slept on the first only.
    Refused,
}

/// Sleeps until one of the words changes, at most until `until`.
///
/// The kernel cannot sleep on several words before Linux 5.16, nor in some emulators and sandboxes,
/// nor if an address is no longer mapped. Then it sleeps on the first word only, for
/// [`FALLBACK_SLEEP`] at most. That word is passed as a reference as well.
pub(crate) fn wait_any(targets: &[Target], first: &AtomicU32, until: Instant) -> Woken {
    let left = until.saturating_duration_since(Instant::now());
    let Some(end) = end_of(left) else { return wait_first(targets, first, left) };
    let waiters: Vec<_> = targets
        .iter()
        .map(|target| {
            let mut waiter = futex::Wait::new();
            waiter.val = u64::from(target.value);
            waiter.uaddr = futex::WaitPtr::new(target.word.cast_mut().cast());
            waiter.flags = WaitFlags::SIZE_U32;
            waiter
        })
        .collect();
    match futex::waitv(&waiters, WaitvFlags::empty(), Some(&end), ClockId::Monotonic) {
        Ok(index) => match targets.get(index) {
            Some(target) if target.ticket != 0 => Woken::One(*target),
            _ => Woken::Nothing,
        },
        Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT) => Woken::Nothing,
        Err(_) => wait_first(targets, first, left),
    }
}

/// Sleeps on the first word only, and briefly: the others may have changed.
fn wait_first(targets: &[Target], first: &AtomicU32, left: Duration) -> Woken {
    if let Some(target) = targets.first() {
        wait(first, target.value, left.min(FALLBACK_SLEEP));
    }
    Woken::Refused
}

impl Woken {
    /// Returns `true` if the wake was meant for the wait with this ticket.
    pub(crate) fn is_of(&self, ticket: u64) -> bool {
        matches!(self, Self::One(target) if target.ticket == ticket)
    }

    /// Wakes another waiter on the same word. It is no error if none sleeps there, or the address
    /// is no longer mapped.
    pub(crate) fn pass_on(self) {
        const ONE: libc::c_int = 1;
        if let Self::One(target) = self {
            // SAFETY: FUTEX_WAKE reads no memory of this process: the address is only a key. An
            // unmapped one is an error.
            unsafe { libc::syscall(libc::SYS_futex, target.word, libc::FUTEX_WAKE, ONE) };
        }
    }
}
