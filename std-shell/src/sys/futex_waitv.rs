//! Sleeping until one of many words changes, futex(2) and `futex_waitv(2)`, by address: some may be
//! unmapped meanwhile.

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

/// How many words one call can sleep on: `FUTEX_WAITV_MAX`.
pub(crate) const MAX: usize = 128;

/// How long to sleep at most where the kernel refuses to sleep on several words, and perhaps on
/// any: then nobody can wake us. Arbitrary: a fifth of the default poll interval, for some
/// thousandth of a processor.
const LOOK: Duration = Duration::from_millis(10);

/// A word to sleep on while it has this value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// Whose wake it is; 0 if it is nobody's in particular.
    pub(crate) ticket: u64,
    pub(crate) word: *const AtomicU32,
    pub(crate) value: u32,
}

/// How a sleep ended.
#[derive(Debug)]
pub(crate) enum Woken {
    /// The time was over, a word had changed before we slept, or the wake was nobody's in
    /// particular.
    Nothing,
    /// Somebody woke one sleeper on this word, and it was us.
    One(Target),
}

/// Sleeps until one of the words changes, at most until that time.
///
/// Where the kernel cannot sleep on several (before Linux 5.16, in some emulators and sandboxes),
/// or an address is no more, it sleeps on the first alone, which is given as a reference as well,
/// and for [`LOOK`] at most.
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

/// Sleeps on the first word alone, so as to look at the others again soon.
fn wait_first(targets: &[Target], first: &AtomicU32, left: Duration) -> Woken {
    if let Some(target) = targets.first() {
        wait(first, target.value, left.min(LOOK));
    }
    Woken::Nothing
}

impl Woken {
    /// Whether it was meant for the wait with this number.
    pub(crate) fn is_of(&self, ticket: u64) -> bool {
        matches!(self, Self::One(target) if target.ticket == ticket)
    }

    /// Wakes another in our stead. Nobody asleep, or nothing mapped at that address any more, is no
    /// error.
    pub(crate) fn pass_on(self) {
        const ONE: libc::c_int = 1;
        if let Self::One(target) = self {
            // SAFETY: FUTEX_WAKE reads no memory of ours: it takes the address for a name, and an
            // unmapped one for an error.
            unsafe { libc::syscall(libc::SYS_futex, target.word, libc::FUTEX_WAKE, ONE) };
        }
    }
}
