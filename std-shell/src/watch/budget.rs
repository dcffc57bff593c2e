//! Bounds the wake-ups of the watch thread where others open and close a lock all the time: each
//! opening and each closing is an event that may be a death.

use std::time::{Duration, Instant};

/// What a wake-up for events costs: 200 of them are paid for in a second. Arbitrary: so many that
/// a death among other events is noticed within a few milliseconds, and so few that a process which
/// waits beside a thousand events a second uses less than a hundredth of a core.
const PRICE: Duration = Duration::from_millis(5);

/// The debt up to which the thread does not rest: 40 wake-ups, those of some eight events in a row.
/// That is a fifth of what a second pays for.
const CREDIT: Duration = Duration::from_millis(200);

/// The wake-ups for events, and for the looks that repeat the one after an event. All others have
/// bounds of their own (`naps.rs`).
#[derive(Debug)]
pub(super) struct Budget {
    /// When all wake-ups so far are paid for.
    paid_at: Instant,
}

impl Budget {
    pub(super) fn new(now: Instant) -> Self {
        Self { paid_at: now }
    }

    /// Counts a wake-up. In a rest no event wakes the thread: a repeated look shares the wake-up of
    /// another cause then. So the debt is at most one price above the credit.
    pub(super) fn spend(&mut self, now: Instant) {
        if self.rest_until(now).is_none() {
            self.paid_at = self.paid_at.max(now) + PRICE;
        }
    }

    /// Returns until when the thread is to rest, at most two prices from now. Events keep meanwhile.
    /// The end of the rest is a wake-up, too; so the debt is one price below the credit by then, and
    /// the thread can sleep on events after that.
    pub(super) fn rest_until(&self, now: Instant) -> Option<Instant> {
        let debt = self.paid_at.saturating_duration_since(now);
        let excess = debt.checked_sub(CREDIT).filter(|excess| !excess.is_zero())?;
        Some(now + excess + PRICE)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Budget, PRICE};
    use crate::watch::naps::{Looks, Seen};

    /// What a thread does that is told of events.
    struct Told {
        /// How often it slept while they came.
        sleeps: u32,
        /// How often it slept in the second after them.
        sleeps_after: u32,
        /// The longest time from an event to the next look.
        unseen: Duration,
    }

    /// Imitates the loop of the thread, in time of its own: events each `period` for so long, then
    /// a second without any.
    fn tell_each(period: Duration, length: Duration) -> Told {
        let begin = Instant::now();
        let (last_event, end) = (begin + length, begin + length + Duration::from_secs(1));
        let (mut now, mut event, mut first_unseen) = (begin, begin + period, None);
        let (mut budget, mut looks) = (Budget::new(now), Looks::new(now));
        let mut told = Told { sleeps: 0, sleeps_after: 0, unseen: Duration::ZERO };
        let mut was_event = false;
        while now < end {
            now += Duration::from_micros(5); // a turn of the loop
            if looks.is_due(now) {
                if let Some(first) = first_unseen.take() {
                    told.unseen = told.unseen.max(now - first);
                }
                was_event |= looks.is_repeat();
                looks.plan(now, Seen::Quiet, None);
            }
            if was_event {
                budget.spend(now);
            }
            let rest = budget.rest_until(now);
            let until = looks.due(rest).map_or(end, |due| due.min(end));
            let until = rest.map_or(until.min(event), |rest| until.min(rest)).max(now);
            if until > now {
                let sleeps =
                    if now < last_event { &mut told.sleeps } else { &mut told.sleeps_after };
                *sleeps += 1;
            }
            now = until;
            let is_told = event <= now && rest.is_none_or(|rest| rest <= now);
            was_event = is_told || rest.is_some_and(|rest| rest <= now);
            if is_told {
                first_unseen = first_unseen.or(Some(event));
                looks.look_after_event(now);
                while event <= now {
                    event += period;
                }
                if event > last_event {
                    event = end;
                }
            }
        }
        told
    }

    #[test]
    fn a_rest_is_short_however_many_wake_ups_are_counted_at_once() {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        (0..1000).for_each(|_| budget.spend(now));
        let rest = budget.rest_until(now).expect("many wake-ups");
        assert!(rest <= now + 2 * PRICE, "{:?}", rest - now);
        budget.spend(rest);
        assert_eq!(budget.rest_until(rest), None, "the end of a rest begins no other one");
    }

    #[test]
    fn however_far_apart_the_events_are_the_wake_ups_are_bounded_and_each_event_is_looked_after_soon()
     {
        for micros in (50..5_000).step_by(50).chain((5_000..60_000).step_by(130)) {
            let period = Duration::from_micros(micros);
            let Told { sleeps, sleeps_after, unseen } = tell_each(period, Duration::from_secs(1));
            assert!(sleeps <= 250, "{sleeps} sleeps in a second, an event each {period:?}");
            assert!(sleeps_after <= 12, "{sleeps_after} sleeps after events each {period:?}");
            let most = Duration::from_micros(10_100);
            assert!(unseen <= most, "an event each {period:?}: {unseen:?} unseen");
        }
    }

    #[test]
    fn a_few_events_are_looked_after_at_once_however_close() {
        for micros in [10, 300, 3_000, 30_000] {
            let period = Duration::from_micros(micros);
            let unseen = tell_each(period, period * 8 + period / 2).unseen;
            assert!(unseen <= Duration::from_micros(60), "an event each {period:?}: {unseen:?}");
        }
    }
}
