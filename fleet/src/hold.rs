//! Keeps what a contender knows of its lease: until when it lives, and whether it is lost.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::BootInstant;
use crate::loss::Loss;
use crate::timer::Timer;

/// The state of a lease. The model checks this code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LeaseState {
    deadline: BootInstant,
    lost: Option<Loss>,
}

impl LeaseState {
    pub(crate) fn new(deadline: BootInstant) -> Self {
        Self { deadline, lost: None }
    }

    /// Returns the loss at `now`. A loss is final: a late renewal does not undo it.
    pub(crate) fn loss(&mut self, now: BootInstant) -> Option<Loss> {
        if self.lost.is_none() && now >= self.deadline {
            self.lost = Some(Loss::DeadlinePassed);
        }
        self.lost
    }

    /// Moves the deadline, if the lease is not lost at `now`. It never moves back.
    pub(crate) fn extend(&mut self, now: BootInstant, deadline: BootInstant) {
        if self.loss(now).is_none() {
            self.deadline = self.deadline.max(deadline);
        }
    }

    pub(crate) fn lose(&mut self, now: BootInstant, loss: Loss) {
        if self.loss(now).is_none() {
            self.lost = Some(loss);
        }
    }

    pub(crate) fn deadline(&self) -> BootInstant {
        self.deadline
    }
}

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

    pub(crate) fn extend(&self, deadline: BootInstant) {
        let mut state = self.state();
        state.extend(BootInstant::now(), deadline);
        self.set_timer(state.deadline());
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

#[cfg(test)]
mod tests {
    use super::{LeaseState, Loss};
    use crate::clock::BootInstant;

    #[test]
    fn a_loss_is_final() {
        let at = BootInstant::from_nanos;
        let mut state = LeaseState::new(at(10));
        assert_eq!(state.loss(at(9)), None);
        state.extend(at(9), at(20));
        state.extend(at(9), at(15));
        assert_eq!(state.deadline(), at(20), "a deadline never moves back");
        assert_eq!(state.loss(at(20)), Some(Loss::DeadlinePassed));
        state.extend(at(21), at(40));
        assert_eq!(state.loss(at(22)), Some(Loss::DeadlinePassed));
        state.lose(at(22), Loss::KeyGone);
        assert_eq!(state.loss(at(22)), Some(Loss::DeadlinePassed), "the first reason stays");

        let mut state = LeaseState::new(at(10));
        state.extend(at(10), at(20));
        assert_eq!(state.loss(at(10)), Some(Loss::DeadlinePassed), "the renewal came too late");
        let mut state = LeaseState::new(at(10));
        state.lose(at(1), Loss::KeyGone);
        assert_eq!(state.loss(at(1)), Some(Loss::KeyGone));
    }
}
