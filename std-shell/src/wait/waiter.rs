//! Waits for a lock that another handle holds: a state machine behind the core's [`Wait`].
//!
//! The core calls [`Waiter::wait`] after each attempt that fails. The answer is *retry*, *probe the
//! owner, then retry*, or *give up*. Between two answers the waiter may pass through several
//! phases.
//!
//! | phase | what the waiter does | what ends it | answer | next phase |
//! |---|---|---|---|---|
//! | `Spin` | reads the word now and then | the lock looks free | retry | `Spin` |
//! | | | its time is over, or the owner stalls | | `Probe`, `Sleep` |
//! | `SpinWoken` | likewise, after a wake | the lock looks free | retry | `SpinWoken` |
//! | | | likewise, and WAITERS is set | | `Probe`, `Sleep` |
//! | | | likewise, and WAITERS is not set | | `BackOff` |
//! | `BackOff` | sleeps for a moment without setting WAITERS | its time is over | retry | `Spin` |
//! | `Probe` | | | probe | `Sleep` |
//! | `Sleep` | sets WAITERS, asks, and sleeps | the word has moved before | retry | `Spin` |
//! | | | a wake, or the word moves | retry | `Woken` |
//! | | | its time is over, or a signal came | | `Probe` |
//! | `Woken` | reads the count of acquisitions | it has moved since the sleep | | `SpinWoken` |
//! | | | it has not | | `Probe` |
//! | `GaveUp` | | | give up | |
//!
//! A wait begins in `Spin`. `Sleep` asks the interrupt callback, if there is one (`interrupt.rs`).
//! It gives up if that says so, at the deadline, at the exit event, and at a deadlock. `Probe`,
//! except the first of a wait, gives up if the file was removed. Each phase gives up in a forked
//! child.
//!
//! A spin ends in `Probe` if the owner has not been probed for one poll interval, and else in
//! `Sleep`. So a dead owner is noticed before the first sleep, after each sleep that ends by its
//! time (`patience.rs` says how long that is), and when the watch (`watch/`) wakes the waiter.

use std::ops::ControlFlow;
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
use crate::wait::WaitStrategy;
use crate::wait::deadline::Deadline;
use crate::wait::exit_event::{ExitEvent, WAITING_ALLOWED};
use crate::wait::fairness::Fairness;
use crate::wait::interrupt::{Interrupt, WaitPoint};
use crate::wait::patience::Patience;
use crate::wait::sleep::sleep;
use crate::wait::spin::{Pace, spin};
use crate::wait::tuning::BACK_OFF;

/// Why a wait ended without the lock.
#[derive(Clone, Copy, Debug)]
pub(crate) enum GaveUp<'a> {
    TimedOut,
    Cancelled,
    /// The interrupt callback said so.
    Interrupted,
    /// This thread holds the lock by another handle.
    WouldDeadlock,
    Orphaned,
    /// The event of this name was inherited by a fork.
    ForkedEvent(&'a Name),
    /// A signal handler has forked, and this is the child: the region is the parent's.
    Forked,
}

/// What a waiter does next. The file's head has the transitions.
#[derive(Clone, Copy, Debug)]
enum Phase<'a> {
    Spin,
    Woken,
    SpinWoken,
    BackOff,
    Probe,
    Sleep,
    GaveUp(GaveUp<'a>),
}

/// How a sleep ended.
enum Slept {
    /// The word moved before the sleep.
    Not,
    /// By a wake, or because a word changed.
    Woken,
    /// By its time.
    Elapsed,
    /// By a signal.
    Signalled,
}

/// What is waited for, and what bounds the wait.
pub(crate) struct Terms<'a> {
    pub(crate) shared: &'a Attachment,
    pub(crate) me: Token,
    pub(crate) deadline: Deadline,
    pub(crate) interval: Duration,
    pub(crate) strategy: WaitStrategy,
    pub(crate) event: Option<&'a ExitEvent>,
    pub(crate) interrupt: Option<&'a Interrupt>,
    pub(crate) blocked: Option<&'a Blocked>,
    pub(crate) fairness: &'a Fairness,
    pub(crate) pace: &'a Pace,
}

/// The core's way of waiting, on Linux.
pub(crate) struct Waiter<'a> {
    terms: Terms<'a>,
    phase: Phase<'a>,
    /// When it arrived, or ended its last sleep.
    now: BootInstant,
    /// When it last asked whether the owner is alive.
    last_probe: Option<BootInstant>,
    patience: Patience<'a>,
    /// Its last step, for the interrupt callback.
    point: WaitPoint,
    /// When it arrived, or a signal last ended a sleep.
    undisturbed_since: BootInstant,
}

impl<'a> Waiter<'a> {
    /// Makes a waiter that has just arrived.
    #[inline]
    pub(crate) fn new(terms: Terms<'a>, now: BootInstant) -> Self {
        let patience = Patience::new(terms.shared, terms.interval, now);
        let point = WaitPoint::Begin;
        Self {
            terms,
            phase: Phase::Spin,
            now,
            last_probe: None,
            patience,
            point,
            undisturbed_since: now,
        }
    }

    /// Returns when the wait began, or its last sleep ended.
    #[inline]
    pub(crate) fn now(&self) -> BootInstant {
        self.now
    }

    /// Returns why it gave up.
    #[inline]
    pub(crate) fn reason(&self) -> GaveUp<'a> {
        // A waiter that has answered *give up* is in that phase.
        if let Phase::GaveUp(reason) = self.phase { reason } else { GaveUp::TimedOut }
    }

    /// Passes through the phases until there is an answer for the core.
    #[inline]
    fn advance(&mut self, context: &mut WaitContext<'_>) -> Result<WaitAction, GaveUp<'a>> {
        loop {
            match self.phase {
                Phase::Spin | Phase::SpinWoken => {
                    let is_free = spin(context, self.terms.shared, self.terms.pace, self.now);
                    self.check_process()?;
                    if is_free {
                        return Ok(WaitAction::Retry);
                    }
                    self.phase = self.after_spin(context);
                }
                Phase::Woken => {
                    self.check_process()?;
                    let is_vain = self.patience.note_wake();
                    self.phase = if is_vain { Phase::Probe } else { Phase::SpinWoken };
                }
                Phase::BackOff => {
                    self.back_off();
                    self.check_process()?;
                    self.phase = Phase::Spin;
                    return Ok(WaitAction::Retry);
                }
                Phase::Probe => {
                    // The first leaves out the check of the name, which takes two system calls: a
                    // recovery checks it anyway (`end_wait`).
                    let is_first = self.last_probe.replace(self.now).is_none();
                    let is_orphaned = !is_first && self.terms.shared.is_orphaned();
                    self.check_process()?;
                    if is_orphaned {
                        return Err(GaveUp::Orphaned);
                    }
                    self.phase = Phase::Sleep;
                    return Ok(WaitAction::Probe);
                }
                Phase::Sleep => match self.sleep(context)? {
                    Slept::Not => {
                        self.phase = Phase::Spin;
                        return Ok(WaitAction::Retry);
                    }
                    Slept::Woken => {
                        self.phase = Phase::Woken;
                        return Ok(WaitAction::Retry);
                    }
                    Slept::Elapsed | Slept::Signalled => self.phase = Phase::Probe,
                },
                Phase::GaveUp(reason) => return Err(reason),
            }
        }
    }

    /// Returns what follows a spin in vain.
    #[inline]
    fn after_spin(&self, context: &WaitContext<'_>) -> Phase<'a> {
        // No other waiter has set WAITERS since the wake. The waiters that still sleep are woken
        // only after this one has backed off and set WAITERS again.
        if matches!(self.phase, Phase::SpinWoken) && !context.has_waiters_hint() {
            return Phase::BackOff;
        }
        let is_due = |last| self.now.since(last) >= self.terms.interval;
        if self.last_probe.is_none_or(is_due) { Phase::Probe } else { Phase::Sleep }
    }

    /// Sleeps for a moment without setting WAITERS, and begins a fairness interval.
    ///
    /// A waiter that sets WAITERS while others hand the lock on without a pause is woken by the
    /// next release, often on the CPU of the new owner.
    fn back_off(&mut self) {
        if let Some(limit) = self.terms.deadline.clamp(BACK_OFF) {
            let _unblocked = signal_mask::unblocked(self.terms.blocked);
            sleep(limit, None);
        }
        self.now = BootInstant::now();
        self.terms.fairness.begin_interval(self.now);
    }

    /// Sets WAITERS and sleeps, for as long as the deadline and the watch allow.
    #[inline]
    fn sleep(&mut self, context: &mut WaitContext<'_>) -> Result<Slept, GaveUp<'a>> {
        let terms = &self.terms;
        let event = self.event_word()?;
        let most = match terms.strategy {
            WaitStrategy::Futex => self.patience.next_sleep(context.seen().owner()),
            WaitStrategy::SleepPolling => terms.interval,
        };
        let limit = terms.deadline.clamp(most).ok_or(GaveUp::TimedOut)?;
        // A waiter holds nothing: its own token stands in the word only by corruption.
        let is_held_here = |owner| {
            owner != terms.me && registry::held_by_this_thread(owner, terms.shared.identity())
        };
        if context.seen().owner().is_some_and(is_held_here) {
            return Err(GaveUp::WouldDeadlock);
        }
        let unblocked = signal_mask::unblocked(terms.blocked); // handlers run here
        self.check_process()?;
        let slept = self.sleep_on(context, event, limit)?;
        drop(unblocked);
        self.now = BootInstant::now();
        self.check_process()?;
        self.point = match slept {
            Slept::Not => self.point,
            Slept::Woken => WaitPoint::Wake,
            Slept::Elapsed => WaitPoint::Elapsed,
            Slept::Signalled => {
                self.undisturbed_since = self.now;
                WaitPoint::Signal
            }
        };
        if !matches!(slept, Slept::Not) {
            self.patience.note_sleep();
            self.terms.fairness.begin_interval(self.now);
        }
        Ok(slept)
    }

    /// Sleeps in the kernel, until a wake or for `limit`. Asks the interrupt callback right before.
    #[inline]
    fn sleep_on(
        &mut self,
        context: &mut WaitContext<'_>,
        event: Option<&AtomicU32>,
        limit: Duration,
    ) -> Result<Slept, GaveUp<'a>> {
        if self.terms.strategy == WaitStrategy::SleepPolling {
            let Some(limit) = self.ask(limit)? else { return Ok(Slept::Elapsed) };
            return Ok(slept_for(sleep(limit, event)));
        }
        let Ok(waiting) = context.set_waiters() else { return Ok(Slept::Not) };
        // After WAITERS is set: the wake that this waiter may have used up is another's from here.
        let Some(mut limit) = self.ask(limit)? else { return Ok(Slept::Elapsed) };
        let lock = (context.word(), waiting.bits());
        let mut woke = None;
        if let Some(event) = event {
            woke = futex::wait_either(lock, (event, WAITING_ALLOWED), limit);
            // Otherwise it sleeps on the lock alone, and looks at the event after each sleep.
            limit = limit.min(self.terms.interval);
        }
        Ok(match woke.or_else(|| futex::try_wait(lock.0, lock.1, limit)) {
            Some(futex::Woke::Changed) => Slept::Woken,
            Some(futex::Woke::Elapsed) => Slept::Elapsed,
            Some(futex::Woke::Signalled) => Slept::Signalled,
            None => {
                self.patience.note_refused_futex();
                slept_for(sleep(limit.min(self.terms.interval), None))
            }
        })
    }

    /// Asks the interrupt callback, if there is one, whether the wait goes on. Returns how long to
    /// sleep then: at most `limit`, and `None` if the deadline has passed meanwhile.
    #[inline]
    fn ask(&mut self, limit: Duration) -> Result<Option<Duration>, GaveUp<'a>> {
        self.terms.interrupt.map_or(Ok(Some(limit)), |interrupt| self.ask_this(interrupt, limit))
    }

    /// Asks this callback. A function of its own, because most handles have no callback.
    ///
    /// A signal that comes between the answer and the sleep does not end the sleep. So the sleep is
    /// bounded.
    #[cold]
    fn ask_this(
        &self,
        interrupt: &Interrupt,
        limit: Duration,
    ) -> Result<Option<Duration>, GaveUp<'a>> {
        let answer = interrupt.ask(self.point);
        self.check_process()?; // the callback may have forked
        match answer {
            ControlFlow::Continue(()) => {
                let undisturbed = self.now.since(self.undisturbed_since);
                let has_event = self.terms.event.is_some();
                let longest = Interrupt::longest_sleep(undisturbed, self.terms.interval, has_event);
                Ok(self.terms.deadline.clamp(limit.min(longest)))
            }
            ControlFlow::Break(()) => Err(GaveUp::Interrupted),
        }
    }

    /// Returns the word of the exit event, if there is an event; an error if it is set.
    fn event_word(&self) -> Result<Option<&'a AtomicU32>, GaveUp<'a>> {
        let Some(event) = self.terms.event else { return Ok(None) };
        let word = event.own_word().map_err(GaveUp::ForkedEvent)?;
        // Partner: `ExitEvent::set`. Relaxed: it says nothing about other memory.
        if word.load(Relaxed) == WAITING_ALLOWED { Ok(Some(word)) } else { Err(GaveUp::Cancelled) }
    }

    /// Checks that the region is this process's. A signal handler may have forked during each step
    /// that takes time. A fork between this check and the access after it ends the child by
    /// SIGSEGV: the child has no mapping.
    #[inline]
    fn check_process(&self) -> Result<(), GaveUp<'a>> {
        if self.terms.shared.is_ours() { Ok(()) } else { Err(GaveUp::Forked) }
    }
}

/// The end of a sleep without a wake.
fn slept_for(is_signalled: bool) -> Slept {
    if is_signalled { Slept::Signalled } else { Slept::Elapsed }
}

impl Wait for Waiter<'_> {
    #[inline]
    fn wait(&mut self, context: &mut WaitContext<'_>) -> WaitAction {
        match self.advance(context) {
            Ok(action) => action,
            Err(reason) => {
                if matches!(reason, GaveUp::Forked) {
                    context.owe_nothing(); // the word is not there
                } else {
                    self.patience.answer_recruit();
                }
                self.phase = Phase::GaveUp(reason);
                WaitAction::GiveUp
            }
        }
    }
}

/// Waits for nothing: asks for one probe of the owner.
#[derive(Default)]
pub(crate) struct ProbeOnce {
    has_probed: bool,
}

impl Wait for ProbeOnce {
    fn wait(&mut self, _: &mut WaitContext<'_>) -> WaitAction {
        if std::mem::replace(&mut self.has_probed, true) {
            WaitAction::GiveUp
        } else {
            WaitAction::Probe
        }
    }
}
