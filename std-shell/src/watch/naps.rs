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
    /// The next look repeats the one after an event.
    is_repeat: bool,
    /// The looks that are to come are those after an event.
    is_after_event: bool,
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
        Self {
            due: Some(now),
            is_repeat: false,
            is_after_event: false,
            step: AFTER_EVENT.len(),
            rounds: 0,
            ticks: 0,
        }
    }

    /// Returns when to look. In a rest (`budget.rs`), a repeated look does not wake the thread.
    pub(super) fn due(&self, rest_until: Option<Instant>) -> Option<Instant> {
        match (self.due, rest_until) {
            (Some(due), Some(rest)) if self.is_repeat => Some(due.max(rest)),
            (due, _) => due,
        }
    }

    /// Returns `true` if the next look repeats the one after an event.
    pub(super) fn is_repeat(&self) -> bool {
        self.is_repeat
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// Returns how many waiters of a dead owner to wake: the more, the longer none recovers. One
    /// that fell asleep before the owner acquired does not probe at its first wake.
    pub(super) fn wakes(&self) -> u32 {
        1 << self.rounds.min(10)
    }

    /// Looks now.
    pub(super) fn look_now(&mut self, now: Instant) {
        self.due = Some(now);
        self.is_repeat = false;
    }

    /// Looks now, and repeats that a few times.
    pub(super) fn look_after_event(&mut self, now: Instant) {
        self.look_repeatedly(now);
        self.is_after_event = true;
    }

    /// The same for a new slot: there may have been an event before.
    pub(super) fn look_for_slot(&mut self, now: Instant) {
        self.look_repeatedly(now);
        self.is_after_event = false;
    }

    fn look_repeatedly(&mut self, now: Instant) {
        self.look_now(now);
        self.step = 0;
        self.ticks = TICKS_AFTER_EVENT;
    }

    /// Looks now if this tick has to: an event was not long ago, or all waiters were awake.
    pub(super) fn note_tick(&mut self, now: Instant) {
        if let Some(left) = self.ticks.checked_sub(1) {
            self.ticks = left;
            self.look_now(now);
        }
    }

    /// Plans the next look after one that has found this. `nap`: there are no events.
    pub(super) fn plan(&mut self, now: Instant, seen: Seen, nap: Option<Duration>) {
        self.is_repeat = false;
        let pause = match seen {
            Seen::Quiet | Seen::AllAwake => {
                if seen == Seen::AllAwake {
                    self.ticks = self.ticks.max(1); // the word will not tell them
                }
                self.rounds = 0;
                let pause = AFTER_EVENT.get(self.step).copied();
                self.is_repeat = pause.is_some() && self.is_after_event;
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{AFTER_EVENT, LONGEST_RETRY, Looks, Seen, nap};

    #[test]
    fn after_an_event_the_looks_become_rarer_and_end() {
        let now = Instant::now();
        let mut looks = Looks::new(now);
        assert!(looks.is_due(now), "a new file is looked at");
        looks.look_after_event(now);
        for pause in AFTER_EVENT {
            looks.plan(now, Seen::Quiet, None);
            assert_eq!(looks.due(None), Some(now + pause));
        }
        looks.plan(now, Seen::Quiet, None);
        assert_eq!(looks.due(None), None);
        looks.plan(now, Seen::Quiet, Some(Duration::from_millis(3)));
        assert_eq!(looks.due(None), Some(now + Duration::from_millis(3)), "without events: naps");
    }

    #[test]
    fn after_an_event_two_ticks_look_again_and_no_more() {
        let now = Instant::now();
        let mut looks = Looks::new(now);
        let mut looks_at_a_tick = |begin: fn(&mut Looks, Instant)| {
            begin(&mut looks, now);
            while looks.due(None).is_some() {
                looks.plan(now, Seen::Quiet, None);
            }
            looks.note_tick(now);
            looks.is_due(now)
        };
        assert!(!looks_at_a_tick(|_, _| {}), "no event");
        assert!(looks_at_a_tick(Looks::look_after_event) && looks_at_a_tick(|_, _| {}));
        assert!(!looks_at_a_tick(|_, _| {}) && !looks_at_a_tick(Looks::look_now));
    }

    #[test]
    fn in_a_rest_only_repeated_looks_wait() {
        let now = Instant::now();
        let rest = now + Duration::from_millis(8);
        let mut looks = Looks::new(now);
        looks.look_after_event(now);
        assert_eq!(looks.due(Some(rest)), Some(now), "the event itself");
        looks.plan(now, Seen::Quiet, None);
        assert_eq!(looks.due(Some(rest)), Some(rest));
        assert_eq!(looks.due(Some(now)), Some(now + AFTER_EVENT[0]));
        looks.plan(now, Seen::Woke, None);
        assert_eq!(looks.due(Some(rest)), Some(now + Duration::from_millis(1)), "a retry");
        while looks.due(None).is_some() {
            looks.plan(now, Seen::Quiet, None);
        }
        assert_eq!(looks.due(Some(rest)), None);
        looks.plan(now, Seen::Quiet, Some(Duration::from_millis(3)));
        assert_eq!(looks.due(Some(rest)), Some(now + Duration::from_millis(3)), "a nap");
        looks.look_for_slot(now);
        looks.plan(now, Seen::Quiet, None);
        assert_eq!(looks.due(Some(rest)), Some(now + AFTER_EVENT[0]), "a new slot");
    }

    #[test]
    fn each_tick_looks_at_a_removed_file_until_no_wait_is_left() {
        let now = Instant::now();
        let mut looks = Looks::new(now);
        for _ in 0..5 {
            looks.plan(now, Seen::AllAwake, None);
            assert_eq!(looks.due(None), None);
            looks.note_tick(now);
            assert!(looks.is_due(now));
        }
        looks.plan(now, Seen::Quiet, None);
        looks.note_tick(now);
        assert_eq!(looks.due(None), None);
    }

    #[test]
    fn after_a_wake_the_looks_go_on_until_the_lock_is_quiet_and_become_rarer() {
        let now = Instant::now();
        let mut looks = Looks::new(now);
        for millis in [1, 2, 4, 8] {
            looks.plan(now, Seen::Woke, None);
            assert_eq!(looks.due(None), Some(now + Duration::from_millis(millis)));
        }
        for _ in 0..20 {
            looks.plan(now, Seen::NoneSleeps, None);
        }
        assert_eq!(looks.due(None), Some(now + LONGEST_RETRY));
        looks.plan(now, Seen::Quiet, None);
        looks.plan(now, Seen::Woke, None);
        assert_eq!(looks.due(None), Some(now + Duration::from_millis(1)), "it begins anew");
    }

    #[test]
    fn a_removed_file_has_all_its_waiters_woken_soon() {
        let now = Instant::now();
        let mut looks = Looks::new(now);
        for _ in 0..256 {
            looks.plan(now, Seen::WokeAll, None);
            assert_eq!(looks.due(None), Some(now + Duration::from_millis(1)));
        }
        looks.plan(now, Seen::WokeAll, None);
        assert!(looks.due(None) <= Some(now + Duration::from_millis(2)));
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
