//! Hands an outcome from a thread to the call that waits for it.

use std::mem::replace;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::thread::futex::{self, Flags};
use shmlock::ExitEvent;

const EMPTY: u32 = 0;
const FULL: u32 = 1;

/// The longest sleep of a wait without a limit.
const LONG: Duration = Duration::from_secs(24 * 3600);

/// One outcome on its way, once, from a thread to a call.
pub(crate) struct Handoff<T> {
    /// [`FULL`] once there is an outcome. For the kernel; the slot decides.
    word: AtomicU32,
    slot: Mutex<Slot<T>>,
}

enum Slot<T> {
    Empty,
    Outcome(T),
    /// The call has its outcome, or wants none.
    Left,
}

/// The end of a wait.
pub(crate) enum Waited<T> {
    Outcome(T),
    TimedOut,
    Cancelled,
}

impl<T> Handoff<T> {
    pub(crate) fn new() -> Self {
        Self { word: AtomicU32::new(EMPTY), slot: Mutex::new(Slot::Empty) }
    }

    /// Puts the outcome there, and wakes the call. Returns the outcome if the call has left.
    pub(crate) fn deliver(&self, outcome: T) -> Option<T> {
        let mut slot = self.slot();
        if !matches!(*slot, Slot::Empty) {
            return Some(outcome);
        }
        *slot = Slot::Outcome(outcome);
        drop(slot);
        // Partner: the kernel's comparison in `wait`. Relaxed: the mutex orders the outcome.
        self.word.store(FULL, Relaxed);
        // Without PRIVATE, as the local library waits. Refused, it leaves a sleep of `wait`.
        let _ = futex::wake(&self.word, Flags::empty(), 1);
        None
    }

    /// Blocks until there is an outcome, the time has come, or the event is set.
    pub(crate) fn wait(&self, until: Option<Instant>, event: &ExitEvent) -> Waited<T> {
        loop {
            if let Some(outcome) = self.take() {
                return Waited::Outcome(outcome);
            }
            if event.is_set().unwrap_or(true) {
                return Waited::Cancelled;
            }
            let left = until.map_or(LONG, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Waited::TimedOut;
            }
            if event.wait_beside(&self.word, EMPTY, left).is_err() {
                return Waited::Cancelled; // a forked child, whose threads do not exist
            }
        }
    }

    /// Leaves for good. Returns the outcome if there is one.
    pub(crate) fn leave(&self) -> Option<T> {
        match replace(&mut *self.slot(), Slot::Left) {
            Slot::Outcome(outcome) => Some(outcome),
            Slot::Empty | Slot::Left => None,
        }
    }

    fn take(&self) -> Option<T> {
        let mut slot = self.slot();
        match replace(&mut *slot, Slot::Left) {
            Slot::Outcome(outcome) => Some(outcome),
            other => {
                *slot = other;
                None
            }
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot<T>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use shmlock::ExitEvent;

    use super::{Handoff, Waited};

    #[test]
    fn an_outcome_an_event_and_a_time_limit_end_the_wait() {
        let event = ExitEvent::new();
        let handoff = Handoff::new();
        std::thread::scope(|scope| {
            scope.spawn(|| handoff.deliver(7));
            assert!(matches!(handoff.wait(None, &event), Waited::Outcome(7)));
        });
        assert_eq!(handoff.deliver(8), Some(8), "the call has its outcome");
        let handoff = Handoff::<i32>::new();
        assert!(matches!(handoff.wait(Some(Instant::now()), &event), Waited::TimedOut));
        std::thread::scope(|scope| {
            scope.spawn(|| event.set());
            assert!(matches!(handoff.wait(None, &event), Waited::Cancelled));
        });
        assert_eq!(handoff.leave(), None);
        assert_eq!(handoff.deliver(9), Some(9), "the call has left");
    }
}
