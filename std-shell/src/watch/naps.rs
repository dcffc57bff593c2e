//! Says when the watch thread looks at a lock again: after an event, after a wake, and where there
//! are no events.

use std::time::{Duration, Instant};

use crate::sys::sleep::LONGEST;

/// The naps after an event: it comes a moment before the byte is free, because the kernel tells
/// first and drops the locks then. Nearly always the first look suffices; the last is for a
/// machine on which the dying process is preempted between the two.
const AFTER_EVENT: [Duration; 5] = [
    Duration::from_micros(50),
    Duration::from_micros(200),
    Duration::from_millis(1),
    Duration::from_millis(5),
    Duration::from_millis(25),
];

/// At how many ticks the thread looks again after an event: the dying process may have had no
/// processor between event and unlock for all the naps. Two, because the first tick may come at
/// once.
const TICKS_AFTER_EVENT: u32 = 2;

/// The first nap after a wake that may have been lost: many times what a woken waiter needs to
/// acquire. Each further one is twice as long, up to [`LONGEST_RETRY`].
const FIRST_RETRY: Duration = Duration::from_millis(1);
const LONGEST_RETRY: Duration = Duration::from_secs(1);

/// How often all waiters of a removed file are woken before the naps between grow. One wake reaches
/// one task of a process, however many wait.
const QUICK_ROUNDS: u32 = 256;

/// The nap of a watcher without events: this, or this part of the poll interval, or this part of
/// the time that it has watched, whichever is longest. Figure R, and figure W for the price.
const NAP: Duration = Duration::from_millis(1);
const NAP_PART_OF_INTERVAL: u32 = 50;
const NAP_PART_OF_TIME: u32 = 8000;

/// What a look at a lock has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The owner lives, or no waiter sleeps.
    Quiet,
    /// A waiter was woken: the lock is free, or its owner is dead.
    Woke,
    /// The owner is dead, and no waiter sleeps yet.
    NoneSleeps,
    /// The file was removed, and waiters were woken.
    WokeAll,
    /// The file was removed, and no waiter sleeps yet.
    AllAwake,
}

/// When to look at one lock.
#[derive(Debug)]
pub(super) struct Looks {
    due: Option<Instant>,
    /// The next of the naps after an event.
    step: usize,
    /// The rounds of waking since the lock was last quiet.
    rounds: u32,
    /// At how many of the next ticks to look again.
    ticks: u32,
}

impl Looks {
    /// Looks once, now.
    pub(super) fn new(now: Instant) -> Self {
        Self { due: Some(now), step: AFTER_EVENT.len(), rounds: 0, ticks: 0 }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// Returns how many waiters of a dead owner to wake: the more, the longer none recovers. One
    /// that fell asleep before the owner acquired does not probe at its first wake.
    pub(super) fn wakes(&self) -> u32 {
        1 << self.rounds.min(10)
    }

    /// Looks now; and, after an event, a few times more.
    pub(super) fn look_now(&mut self, now: Instant, cause: Cause) {
        self.due = Some(now);
        self.step = match cause {
            Cause::Tick => return,
            Cause::Event => 0,
            Cause::OneOfMany => AFTER_EVENT.len() - 2,
        };
        self.ticks = TICKS_AFTER_EVENT;
    }

    /// Looks now if this tick has to: an event was not long ago, or all waiters were awake.
    pub(super) fn note_tick(&mut self, now: Instant) {
        if let Some(left) = self.ticks.checked_sub(1) {
            self.ticks = left;
            self.due = Some(now);
        }
    }

    /// Plans the next look after one that has found this. `nap`: there are no events.
    pub(super) fn plan(&mut self, now: Instant, seen: Seen, nap: Option<Duration>) {
        let pause = match seen {
            Seen::Quiet | Seen::AllAwake => {
                if seen == Seen::AllAwake {
                    self.ticks = self.ticks.max(1); // the word will not tell them
                }
                self.rounds = 0;
                let pause = AFTER_EVENT.get(self.step).copied();
                self.step = (self.step + 1).min(AFTER_EVENT.len());
                pause.or(nap)
            }
            Seen::Woke | Seen::NoneSleeps => Some(self.retry(0)),
            Seen::WokeAll => Some(self.retry(QUICK_ROUNDS)),
        };
        self.due = pause.map(|pause| now + pause);
    }

    /// Returns the pause after one more round of waking.
    fn retry(&mut self, quick: u32) -> Duration {
        let growth = self.rounds.saturating_sub(quick).min(10);
        self.rounds = self.rounds.saturating_add(1);
        (FIRST_RETRY * (1 << growth)).min(LONGEST_RETRY)
    }
}

/// Returns the nap of a watcher without events, which has watched for so long.
pub(super) fn nap(interval: Duration, watched: Duration) -> Duration {
    let nap = NAP.max(interval / NAP_PART_OF_INTERVAL).max(watched / NAP_PART_OF_TIME);
    nap.min(interval.max(NAP)).min(LONGEST)
}

/// Why a lock is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Tick,
    Event,
    /// An event among many: the looks of the next one will do.
    OneOfMany,
}

/// Bounds the wake-ups where others open and close a lock all the time. Unread events keep; so the
/// thread is deaf to them for a while after each.
#[derive(Debug, Default)]
pub(super) struct Storm {
    level: u32,
    last: Option<Instant>,
    deaf_until: Option<Instant>,
}

/// Events that are this far apart are no storm.
const CALM: Duration = Duration::from_millis(40);
/// The shortest and the longest time of deafness.
const SHORT: Duration = Duration::from_millis(2);
const MAX_LEVEL: u32 = 4;

impl Storm {
    /// Notes events; returns how they are to be treated.
    pub(super) fn note(&mut self, now: Instant) -> Cause {
        let is_storm =
            self.last.replace(now).is_some_and(|last| now.saturating_duration_since(last) < CALM);
        if !is_storm {
            *self = Self { last: self.last, ..Self::default() };
            return Cause::Event;
        }
        self.level = (self.level + 1).min(MAX_LEVEL);
        // The first few are ordinary: a closing process has several descriptions.
        if self.level == 1 {
            return Cause::Event;
        }
        self.deaf_until = Some(now + SHORT * (1 << (self.level - 1)));
        Cause::OneOfMany
    }

    /// Returns until when the thread is deaf.
    pub(super) fn deaf_until(&self, now: Instant) -> Option<Instant> {
        self.deaf_until.filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{AFTER_EVENT, Cause, LONGEST_RETRY, Looks, Seen, Storm, nap};

    #[test]
    fn after_an_event_the_looks_become_rarer_and_end() {
        let now = Instant::now();
        let mut looks = Looks::new(now);
        assert!(looks.is_due(now), "a new file is looked at");
        looks.look_now(now, Cause::Event);
        for pause in AFTER_EVENT {
            looks.plan(now, Seen::Quiet, None);
            assert_eq!(looks.due(), Some(now + pause));
        }
        looks.plan(now, Seen::Quiet, None);
        assert_eq!(looks.due(), None);
        looks.plan(now, Seen::Quiet, Some(Duration::from_millis(3)));
        assert_eq!(looks.due(), Some(now + Duration::from_millis(3)), "without events: naps");
    }

    #[test]
    fn after_an_event_two_ticks_look_again_and_no_more() {
        let now = Instant::now();
        let mut looks = Looks::new(now);
        let mut looks_at_a_tick = |cause: Option<Cause>| {
            if let Some(cause) = cause {
                looks.look_now(now, cause);
            }
            while looks.due().is_some() {
                looks.plan(now, Seen::Quiet, None);
            }
            looks.note_tick(now);
            looks.is_due(now)
        };
        assert!(!looks_at_a_tick(None), "no event");
        for cause in [Cause::Event, Cause::OneOfMany] {
            assert!(looks_at_a_tick(Some(cause)) && looks_at_a_tick(None));
            assert!(!looks_at_a_tick(None) && !looks_at_a_tick(Some(Cause::Tick)));
        }
    }

    #[test]
    fn each_tick_looks_at_a_removed_file_until_no_wait_is_left() {
        let now = Instant::now();
        let mut looks = Looks::new(now);
        for _ in 0..5 {
            looks.plan(now, Seen::AllAwake, None);
            assert_eq!(looks.due(), None);
            looks.note_tick(now);
            assert!(looks.is_due(now));
        }
        looks.plan(now, Seen::Quiet, None);
        looks.note_tick(now);
        assert_eq!(looks.due(), None);
    }

    #[test]
    fn after_a_wake_the_looks_go_on_until_the_lock_is_quiet_and_become_rarer() {
        let now = Instant::now();
        let mut looks = Looks::new(now);
        for millis in [1, 2, 4, 8] {
            looks.plan(now, Seen::Woke, None);
            assert_eq!(looks.due(), Some(now + Duration::from_millis(millis)));
        }
        for _ in 0..20 {
            looks.plan(now, Seen::NoneSleeps, None);
        }
        assert_eq!(looks.due(), Some(now + LONGEST_RETRY));
        looks.plan(now, Seen::Quiet, None);
        looks.plan(now, Seen::Woke, None);
        assert_eq!(looks.due(), Some(now + Duration::from_millis(1)), "it begins anew");
    }

    #[test]
    fn a_removed_file_has_all_its_waiters_woken_soon() {
        let now = Instant::now();
        let mut looks = Looks::new(now);
        for _ in 0..256 {
            looks.plan(now, Seen::WokeAll, None);
            assert_eq!(looks.due(), Some(now + Duration::from_millis(1)));
        }
        looks.plan(now, Seen::WokeAll, None);
        assert!(looks.due() <= Some(now + Duration::from_millis(2)));
    }

    #[test]
    fn many_events_make_the_thread_deaf_and_few_do_not() {
        let mut now = Instant::now();
        let mut storm = Storm::default();
        for _ in 0..3 {
            assert_eq!(storm.note(now), Cause::Event);
            assert_eq!(storm.deaf_until(now), None);
            now += Duration::from_secs(1);
        }
        for _ in 0..10 {
            storm.note(now);
            now = storm.deaf_until(now).unwrap_or(now) + Duration::from_micros(10);
        }
        let begin = now;
        for _ in 0..10 {
            assert_eq!(storm.note(now), Cause::OneOfMany);
            now = storm.deaf_until(now).expect("a storm");
        }
        assert!(now - begin >= Duration::from_millis(100), "{:?} for ten events", now - begin);
        now += Duration::from_secs(1);
        assert_eq!(storm.note(now), Cause::Event, "it has calmed down");
        assert_eq!(storm.deaf_until(now), None);
    }

    #[test]
    fn naps_are_a_millisecond_and_grow_with_the_interval_and_the_time() {
        let usual = Duration::from_millis(50);
        assert_eq!(nap(usual, Duration::ZERO), Duration::from_millis(1));
        assert_eq!(nap(usual, Duration::from_secs(80)), Duration::from_millis(10));
        assert_eq!(nap(usual, Duration::from_secs(8000)), usual);
        assert_eq!(nap(Duration::from_secs(50), Duration::ZERO), Duration::from_secs(1));
        assert!(Instant::now().checked_add(nap(Duration::MAX, Duration::MAX)).is_some());
    }
}
