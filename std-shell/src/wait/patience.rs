//! Says how long a waiter sleeps at a time.
//!
//! The first sleep lasts a millisecond: most waits are over by then. After it the waiter registers
//! with the watch of its process (`watch/`), and sleeps to its deadline once the lock is *covered*:
//! a death, a lost wake or the removal of the file wakes it. A *lone* waiter does so some ticks
//! after the lock has changed hands: it is the only one of its process, and two other processes
//! watch (`watch/lone.rs`).
//!
//! | the waiter | sleeps at a time |
//! |---|---|
//! | has not slept yet, and is not registered | 1 ms, or its poll interval if that is shorter |
//! | is lone | one tick: 1 s, or its poll interval if that is longer; 10 ms to look at the slots |
//! | is registered, and covered | to its deadline |
//! | is registered, not covered yet | 1/16 of the time beyond 1 ms; 1 ms at least, save the first |
//! | has no watch, or no futex | one poll interval |
//! | waits for an owner that the kernel does not know | one poll interval |
//!
//! A waiter that times out re-enters the futex queue at the tail. So a waiter of a watched lock
//! does not begin with a short sleep.

use std::time::Duration;

use shmlock_core::Token;
use shmlock_core::token::TokenRange;

use crate::shm::attach::Attachment;
use crate::sys::clock::BootInstant;
use crate::wait::tuning::{FIRST_SLEEP, LONGEST_SLEEP, PENDING_NAP, PENDING_NAP_PART};
use crate::watch::{self, Cover, Joined, Lone, Registration};

/// How long one waiter sleeps, and what it knows of the owner's progress.
#[derive(Debug)]
pub(crate) struct Patience<'a> {
    shared: &'a Attachment,
    interval: Duration,
    since: BootInstant,
    registration: Option<Registration>,
    has_slept: bool,
    /// The kernel refuses futexes: no wake reaches this waiter.
    is_futex_refused: bool,
    /// The count of acquisitions when the last sleep began.
    count: u64,
    /// `Some` after a wake without the lock so far: the wake may ask this process to watch. The
    /// value is `true` if the lock had not changed hands.
    recruited: Option<bool>,
    /// `Some` while it waits without a watch thread.
    lone: Option<Lone>,
    /// It may become, or is, lone.
    may_be_lone: bool,
}

impl<'a> Patience<'a> {
    /// Begins with a task's wait, which begins at `since`. It is never lone: the executor decides
    /// when a task looks.
    pub(crate) fn of_task(shared: &'a Attachment, interval: Duration, since: BootInstant) -> Self {
        Self { may_be_lone: false, ..Self::new(shared, interval, since) }
    }

    /// Begins with a thread's wait, which begins at `since`.
    #[inline]
    pub(crate) fn new(shared: &'a Attachment, interval: Duration, since: BootInstant) -> Self {
        Self {
            shared,
            interval,
            since,
            registration: None,
            has_slept: false,
            is_futex_refused: false,
            count: 0,
            recruited: None,
            lone: None,
            may_be_lone: true,
        }
    }

    /// Returns how long to sleep now, at most, while this is the owner. The caller asks before each
    /// sleep, in the process of the handle.
    pub(crate) fn next_sleep(&mut self, owner: Option<Token>) -> Duration {
        let is_vain = self.recruited == Some(true);
        self.answer_recruit();
        self.count = self.present_count();
        if self.is_futex_refused || owner.is_some_and(is_unknown_to_the_kernel) {
            return self.interval;
        }
        let is_first = !self.has_slept;
        if !is_first {
            self.shared.prepare_proof();
        }
        if self.registration.is_none() {
            let joined = if is_first {
                watch::join(self.shared, self.interval)
            } else if let Some(tick) = self.lone_sleep(is_vain) {
                return tick;
            } else if self.shared.probe().is_itself() {
                watch::register(self.shared, self.interval)
            } else {
                Joined::Not // the name decides whether the file was removed: no event tells of that
            };
            match joined {
                Joined::Registered(registration) => self.registration = Some(registration),
                _ if is_first => return FIRST_SLEEP.min(self.interval),
                Joined::Busy => return self.nap(),
                Joined::Not => return self.interval,
            }
        }
        match self.registration.as_ref().map(Registration::cover) {
            Some(Cover::Covered) => LONGEST_SLEEP,
            Some(Cover::Pending) => self.nap(),
            Some(Cover::Refused) | None => self.interval,
        }
    }

    /// Returns how long to sleep without a watch thread; `None` if one is needed. `is_vain`: the
    /// waiter was woken, and the lock had not changed hands.
    #[cold]
    fn lone_sleep(&mut self, is_vain: bool) -> Option<Duration> {
        if let Some(lone) = &mut self.lone {
            if !lone.goes_on(self.shared, self.count, is_vain) {
                self.lone = None;
                self.may_be_lone = false;
            }
        } else if self.may_be_lone {
            self.lone = Lone::begin(self.shared, self.interval, self.count);
            self.may_be_lone = self.lone.is_some();
        }
        self.lone.as_ref().map(Lone::sleep)
    }

    /// Notes that the caller sleeps, or has slept: the word had not moved before.
    pub(crate) fn note_sleep(&mut self) {
        self.has_slept = true;
    }

    /// Notes that the kernel has refused to let the waiter sleep on the word.
    pub(crate) fn note_refused_futex(&mut self) {
        self.is_futex_refused = true;
    }

    /// Returns `true` if the lock was not acquired since the last sleep began: a wake came because
    /// of a death, of a removal, or to recruit. Then the caller probes the owner.
    pub(crate) fn note_wake(&mut self) -> bool {
        let is_vain = self.present_count() == self.count;
        self.recruited = Some(is_vain);
        is_vain
    }

    /// Has the process of this waiter look for a free slot, if a wake did not bring the lock. Not
    /// right after the wake: a dead owner's lock is recovered first.
    pub(crate) fn answer_recruit(&mut self) {
        if let (Some(is_vain), Some(registration)) = (self.recruited.take(), &self.registration) {
            registration.look_for_slot(is_vain);
        }
    }

    fn present_count(&self) -> u64 {
        // Partner: the owner's `count_acquisition`, relaxed. Its halves may not fit: a hint, which
        // decides only whether the owner is probed.
        self.shared.region().fencing_token()
    }

    /// Returns the length of a sleep that ends soon after the lock is covered.
    fn nap(&self) -> Duration {
        let is_first = self.registration.as_ref().is_some_and(Registration::is_first);
        pending_nap(is_first, self.since.elapsed()).min(self.interval)
    }
}

/// Returns how long a waiter naps that has waited for so long, until the lock is covered.
/// `is_first`: it looks at the lock for its process meanwhile, as often as a watcher would.
fn pending_nap(is_first: bool, waited: Duration) -> Duration {
    let shortest = if is_first { PENDING_NAP } else { FIRST_SLEEP };
    shortest.max(waited.saturating_sub(FIRST_SLEEP) / PENDING_NAP_PART)
}

/// Returns `true` for an owner of which no event tells: a static token, assigned by an embedder,
/// which may die or release without a trace in the kernel.
fn is_unknown_to_the_kernel(owner: Token) -> bool {
    owner.range() == TokenRange::Static
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::pending_nap;
    use crate::wait::tuning::FIRST_SLEEP;

    #[test]
    fn until_a_watch_has_begun_one_waiter_naps_briefly_and_all_ever_longer() {
        assert!(pending_nap(true, FIRST_SLEEP * 2) < FIRST_SLEEP / 10);
        assert_eq!(pending_nap(false, FIRST_SLEEP), FIRST_SLEEP);
        for is_first in [true, false] {
            let nap = pending_nap(is_first, FIRST_SLEEP + Duration::from_secs(1));
            assert_eq!(nap, Duration::from_secs(1) / 16);
        }
    }
}
