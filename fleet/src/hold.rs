//! Shares what a contender knows of its lease among its threads, and sets the timer of its end.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::BootInstant;
use crate::lease_state::LeaseState;
use crate::loss::Loss;
use crate::protocol::Verdict;
use crate::timer::Timer;

/// The lease of a contender, shared by its threads.
///
/// The keeper extends it, the alarm and the holder read it, and any of them finds the loss. Each of
/// these reads the clock and changes the state under one mutex, so each is one step, as in the
/// model: no deadline moves after a thread was told of a loss. A thread that was told of none knows
/// that of the instant of its call alone; [`left`](Self::left) says how much longer it holds if no
/// server tells of a loss before.
pub(crate) struct Hold {
    state: Mutex<LeaseState>,
    /// Rings at the deadline, or at once after another loss. `None` if no listener is told.
    timer: Option<Timer>,
}

impl Hold {
    /// Makes a hold without a lease: it counts as lost until [`begin`](Self::begin).
    pub(crate) fn new(has_listeners: bool) -> std::io::Result<Self> {
        let timer = if has_listeners { Some(Timer::new()?) } else { None };
        Ok(Self { state: Mutex::new(LeaseState::new(BootInstant::now())), timer })
    }

    /// Begins with the deadline of a new lease.
    pub(crate) fn begin(&mut self, deadline: BootInstant) {
        *self.state() = LeaseState::new(deadline);
        self.set_timer(deadline);
    }

    /// Returns the loss, if the lease is lost by now.
    pub(crate) fn loss(&self) -> Option<Loss> {
        self.state().loss(BootInstant::now())
    }

    /// Returns the time until the deadline.
    pub(crate) fn left(&self) -> Duration {
        let mut state = self.state();
        let now = BootInstant::now();
        state.loss(now).map_or_else(|| now.until(state.deadline()), |_| Duration::ZERO)
    }

    /// Returns the time since the deadline, if that has ended the lease.
    pub(crate) fn overdue(&self) -> Duration {
        let mut state = self.state();
        let now = BootInstant::now();
        match state.loss(now) {
            Some(Loss::DeadlinePassed) => state.deadline().until(now),
            _ => Duration::ZERO,
        }
    }

    /// Applies a renewal, as [`LeaseState::renew`] does.
    pub(crate) fn renew(&self, verdict: Verdict, deadline: BootInstant) {
        let mut state = self.state();
        let now = BootInstant::now();
        state.renew(now, verdict, deadline);
        self.set_timer(if state.loss(now).is_some() { now } else { state.deadline() });
    }

    pub(crate) fn lose(&self, loss: Loss) {
        let mut state = self.state();
        let now = BootInstant::now();
        state.lose(now, loss);
        self.set_timer(now);
    }

    /// Lets the timer ring at once.
    pub(crate) fn ring(&self) {
        let _state = self.state();
        self.set_timer(BootInstant::now());
    }

    pub(crate) fn timer(&self) -> Option<&Timer> {
        self.timer.as_ref()
    }

    fn set_timer(&self, instant: BootInstant) {
        if let Some(timer) = &self.timer {
            // A timer that cannot be set was closed by other code; the alarm has a second clock.
            let _ = timer.set(instant);
        }
    }

    fn state(&self) -> MutexGuard<'_, LeaseState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
