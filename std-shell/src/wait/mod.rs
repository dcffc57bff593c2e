//! How a contender lets time pass: a bounded spin, then sleeps of at most one poll interval each.

pub(crate) mod deadline;
pub(crate) mod exit_event;
pub(crate) mod fairness;
mod probe;
pub(crate) mod reactor;
mod sleep;
pub(crate) mod spin;

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use shmlock_core::Token;
use shmlock_core::wait::{Wait, WaitAction, WaitContext};

use crate::name::Name;
use crate::process::registry;
use crate::shm::attach::Attachment;
use crate::sys::clock::BootInstant;
use crate::sys::futex;
use crate::sys::signal_mask::{self, Blocked};
use crate::wait::deadline::Deadline;
use crate::wait::exit_event::{ExitEvent, WAITING_ALLOWED};
use crate::wait::fairness::Fairness;

pub(crate) use probe::ProbeSchedule;
use spin::Woken;
pub(crate) use spin::is_soon_free;

/// For how long to leave the lock to the others, after a turn or a wake in vain: with the slack
/// that the kernel adds to every sleep, 50 µs if nobody has chosen another
/// (`PR_SET_TIMERSLACK(2const)`), about as long as a turn by default.
const REST: Duration = Duration::from_micros(1);

/// How to sleep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitStrategy {
    /// In the kernel until the holder wakes us, at most one poll interval at a time.
    #[default]
    Futex,
    /// For one poll interval at a time, asking nobody for a wake. For sandboxes that refuse
    /// futex(2).
    SleepPolling,
}

/// Why waiting ended without the lock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum GaveUp<'a> {
    TimedOut,
    Cancelled,
    WouldDeadlock,
    Orphaned,
    /// The event of this name was inherited by a fork.
    ForkedEvent(&'a Name),
    /// A signal handler has forked, and this is the child: the region is the parent's.
    Forked,
}

/// The core's waiting seam, on Linux.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own about one wait")]
pub(crate) struct Waiter<'a> {
    pub(crate) shared: &'a Attachment,
    pub(crate) me: Token,
    pub(crate) patience: Deadline,
    pub(crate) interval: Duration,
    pub(crate) watch: ProbeSchedule<'a>,
    pub(crate) strategy: WaitStrategy,
    pub(crate) event: Option<&'a ExitEvent>,
    pub(crate) blocked: Option<&'a Blocked>,
    /// Whether the owner has been probed before the first sleep.
    pub(crate) probed: bool,
    /// When it last asked whether the owner lives, but for that; before, when it came.
    pub(crate) asked: BootInstant,
    pub(crate) fairness: &'a Fairness,
    /// Whether it has just come or been woken, and not yet waited awake.
    pub(crate) awake: bool,
    /// When it came, or ended its last sleep.
    pub(crate) now: BootInstant,
    pub(crate) has_slept: bool,
    /// Whether it has left the lock to the others for a moment.
    pub(crate) has_rested: bool,
    pub(crate) gave_up: Option<GaveUp<'a>>,
}

impl Wait for Waiter<'_> {
    #[inline]
    fn wait(&mut self, contention: &mut WaitContext<'_>) -> WaitAction {
        match self.next(contention) {
            Ok(verdict) => verdict,
            Err(reason) => {
                if matches!(reason, GaveUp::Forked) {
                    contention.owe_nothing(); // the word is not there
                }
                self.gave_up = Some(reason);
                WaitAction::GiveUp
            }
        }
    }
}

impl<'a> Waiter<'a> {
    /// Returns an error if the region is the parent's: a signal handler has forked, and this is the
    /// child. To be asked after each step that takes time, before the region is touched.
    #[inline]
    fn still_ours(&self) -> Result<(), GaveUp<'a>> {
        if self.shared.is_ours() { Ok(()) } else { Err(GaveUp::Forked) }
    }

    /// Spin, or rest; probe; sleep; look; sleep … until the patience is over. The owner is probed
    /// before the first sleep and after each that ended by its time or by a signal, so a lock whose
    /// owner is dead is had after a rest at most, and even with a patience of zero; and an owner
    /// that dies later is noticed within one interval, or much sooner by the watch.
    #[inline]
    fn next(&mut self, contention: &mut WaitContext<'_>) -> Result<WaitAction, GaveUp<'a>> {
        if self.awake && !self.patience.is_one_try() {
            let free = if self.fairness.is_over() {
                match spin::step_back(contention) {
                    Woken::HasPassed => true,
                    Woken::IsIn => false,
                    Woken::Nothing => self.rest(),
                }
            } else {
                spin::spin(contention, self.shared, self.fairness, self.now)
            };
            self.still_ours()?;
            // Woken in vain, or awake again before it slept, and nobody else has asked for a wake
            // since. Whoever else sleeps waits for ours a little longer.
            let in_vain = self.has_slept && !self.has_rested && !contention.has_waiters_hint();
            if free || (in_vain && self.rest()) {
                self.still_ours()?;
                return Ok(WaitAction::Retry);
            }
            self.awake = false;
        }
        if !self.probed {
            self.probed = true;
            return Ok(WaitAction::Probe);
        }
        if self.patience.is_one_try() {
            return Err(GaveUp::TimedOut); // whatever the event says: it ends waiting, and nobody waits here
        }
        let event = self.allowed_by()?;
        let limit = self.patience.clamp(self.interval).ok_or(GaveUp::TimedOut)?;
        // Our own token can stand in the word only by corruption: who waits holds nothing.
        let is_held_by_us = |owner| {
            owner != self.me && registry::held_by_this_thread(owner, self.shared.identity())
        };
        if contention.seen().owner().is_some_and(is_held_by_us) {
            return Err(GaveUp::WouldDeadlock);
        }
        let limit = match self.strategy {
            WaitStrategy::Futex => self.watch.next_sleep(self.interval).min(limit),
            WaitStrategy::SleepPolling => limit,
        };
        self.still_ours()?;
        let before = self.shared.region().acquisitions();
        let unblocked = signal_mask::unblocked(self.blocked); // handlers run here
        self.still_ours()?;
        let woke = self.sleep(contention, event, limit);
        drop(unblocked);
        self.now = BootInstant::now();
        self.still_ours()?;
        if woke.is_some() {
            self.has_slept = true;
            let taken = self.shared.region().acquisitions().wrapping_sub(before);
            self.fairness.note_sleep(self.now, taken);
        }
        if woke != Some(futex::Woke::Elapsed) {
            self.awake = true;
            // A waiter that is woken again and again asks after each interval all the same.
            if self.now.since(self.asked) < self.interval {
                return Ok(WaitAction::Retry);
            }
        }
        self.asked = self.now;
        if self.shared.is_orphaned() {
            return Err(GaveUp::Orphaned);
        }
        self.still_ours()?;
        Ok(WaitAction::Probe)
    }

    /// Leaves the lock to the others for a moment, asking nobody for a wake; then our next turn
    /// begins. Always true: it is worth looking again.
    ///
    /// Whoever asks for a wake while others hand the lock on without a pause is woken by the next
    /// release, as soon as it sleeps or before; and on a processor that one of the others may just
    /// have got, with the lock. With rests four processes do a seventh more sections of 1 µs, for
    /// four fifths of the processor time each.
    fn rest(&mut self) -> bool {
        if let Some(limit) = self.patience.clamp(REST) {
            let _unblocked = signal_mask::unblocked(self.blocked);
            sleep::sleep(limit, None);
        }
        self.has_rested = true;
        self.now = BootInstant::now();
        self.fairness.begin(self.now);
        true
    }

    /// The event's word, if there is an event and it is clear.
    fn allowed_by(&self) -> Result<Option<&'a AtomicU32>, GaveUp<'a>> {
        let Some(event) = self.event else { return Ok(None) };
        let word = event.own_word().map_err(GaveUp::ForkedEvent)?;
        // Partner: `ExitEvent::set`. Relaxed: it says nothing about other memory.
        if word.load(Relaxed) == WAITING_ALLOWED { Ok(Some(word)) } else { Err(GaveUp::Cancelled) }
    }

    /// How the sleep ended; `None` if the word changed before it began.
    #[inline]
    fn sleep(
        &self,
        contention: &mut WaitContext<'_>,
        event: Option<&AtomicU32>,
        limit: Duration,
    ) -> Option<futex::Woke> {
        if self.strategy == WaitStrategy::SleepPolling {
            sleep::sleep(limit, event);
            return Some(futex::Woke::Elapsed);
        }
        let marked = contention.mark_waiting().ok()?;
        let lock = (contention.word(), marked.bits());
        let woke =
            event.and_then(|event| futex::wait_either(lock, (event, WAITING_ALLOWED), limit));
        Some(woke.unwrap_or_else(|| futex::wait(lock.0, lock.1, limit)))
    }
}
