//! Bounds barging: how long running handles may pass the lock among themselves while waiters sleep.
//!
//! A wake takes a system call, and a context switch of the waiter: much longer than a short
//! critical section. Until the woken waiter runs, running handles acquire the lock without the
//! kernel. One *fairness interval* bounds that. An interval begins when the handle has slept,
//! backed off, or given a head start in vain, when it has to wait after a pause of an interval, and
//! at its first contended release. After it, a handle yields the CPU when it has woken a
//! waiter, which may be scheduled on this very CPU. After many intervals without a pause it gives
//! the woken waiter a *head start*: it leaves the free lock alone for a moment. Otherwise a handle
//! whose critical sections outlast a spin could keep all sleepers out: each would wake, find the
//! lock held, and go back to sleep.
//!
//! A handle knows only itself here, and all of it is a hint: a mistake costs one yield or one head
//! start.

use std::cell::Cell;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use shmlock_core::Word;

use crate::sys::clock::BootInstant;
use crate::wait::deadline::Deadline;
use crate::wait::tuning::{HEAD_START, HEAD_START_AFTER};

/// What one handle knows of its fairness.
#[derive(Debug)]
pub(crate) struct Fairness {
    interval: Duration,
    /// When this handle last had to wait.
    last_arrival: Cell<Option<BootInstant>>,
    /// When its present interval began.
    began: Cell<Option<BootInstant>>,
    /// Until when it leaves a free lock to the woken waiter.
    head_start: Cell<Option<BootInstant>>,
}

impl Fairness {
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            last_arrival: Cell::new(None),
            began: Cell::new(None),
            head_start: Cell::new(None),
        }
    }

    /// Notes that this handle has to wait from now on. An interval begins if the last wait is long
    /// ago.
    pub(crate) fn note_arrival(&self, now: BootInstant) {
        let last = self.last_arrival.replace(Some(now));
        if last.is_none_or(|last| now.since(last) >= self.interval) {
            self.begin_interval(now);
        }
    }

    /// Begins an interval now.
    pub(crate) fn begin_interval(&self, now: BootInstant) {
        self.began.set(Some(now));
    }

    /// Decides after a contended release whether this handle yields. Once an interval has passed,
    /// yields the CPU if the release has woken a waiter. Once many have passed, the next acquire
    /// owes a head start, with or without a woken waiter.
    pub(crate) fn after_release(&self, has_woken: bool) {
        let now = BootInstant::now();
        let Some(began) = self.began.get() else {
            return self.begin_interval(now);
        };
        let lasted = now.since(began);
        let is_due = lasted >= self.interval.saturating_mul(HEAD_START_AFTER);
        self.head_start.set(is_due.then(|| now.after(HEAD_START)));
        if has_woken && lasted >= self.interval {
            thread::yield_now();
        }
    }

    /// Returns `true` if the next acquire has to call [`yield_head_start`](Self::yield_head_start).
    #[inline]
    pub(crate) fn owes_head_start(&self) -> bool {
        self.head_start.get().is_some()
    }

    /// Leaves a free lock to the woken waiter for the head start that it is due. Begins an interval
    /// if no waiter acquires the lock. Does nothing if the caller's deadline comes sooner.
    ///
    /// `is_ours` returns `true` while the word may be read: not in a child that a signal handler
    /// has forked meanwhile.
    pub(crate) fn yield_head_start(
        &self,
        word: &AtomicU32,
        deadline: Deadline,
        is_ours: impl Fn() -> bool,
    ) {
        let Some(until) = self.head_start.take() else { return };
        if deadline.clamp(HEAD_START).is_none_or(|left| left < HEAD_START) {
            return;
        }
        while is_ours() {
            // Partner: the woken waiter's swap in `try_acquire`. Relaxed: it decides only when to
            // try.
            if !Word::from_bits(word.load(Relaxed)).is_free() {
                return;
            }
            let now = BootInstant::now();
            if !now.is_before(until) {
                return self.begin_interval(now);
            }
            thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BootInstant, Deadline, Fairness};

    #[test]
    fn a_handle_without_fairness_interval_owes_a_head_start_after_each_contended_release() {
        let fairness = Fairness::new(Duration::ZERO);
        fairness.after_release(false);
        assert!(!fairness.owes_head_start(), "no interval had begun");
        fairness.after_release(false);
        assert!(fairness.owes_head_start());
        let free = std::sync::atomic::AtomicU32::new(0);
        fairness.yield_head_start(&free, Deadline::None, || true);
        assert!(!fairness.owes_head_start(), "it is owed once, even if there is no time for it");
    }

    #[test]
    fn a_long_fairness_interval_owes_no_head_start_to_the_end_of_the_clock() {
        let fairness = Fairness::new(Duration::MAX);
        fairness.note_arrival(BootInstant::now());
        fairness.after_release(true);
        assert!(!fairness.owes_head_start());
    }
}
