//! How long may those who are awake keep the lock among themselves while others sleep?
//!
//! To wake a sleeper takes a system call, and a change of context on its side: some ten times what
//! a short section takes. So who gives the lock back while somebody waits awake leaves the sleepers
//! asleep (`pass_on` in the core), and the awake hand the lock to each other without the kernel. A
//! *turn* bounds that: when a handle's turn is over it wakes the one that has slept longest, and
//! lets it pass.
//!
//! What is noted here is this handle's own, and only ever a hint: whoever is wrong about the others
//! wakes once too often, or waits one interval. All constants were chosen with
//! `examples/comparison` on two cores of an x86-64 machine; more cores, or a processor whose wake
//! takes much longer, would change them.

use std::cell::Cell;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use shmlock_core::Word;
use shmlock_core::protocol::{self, Wake};

use crate::sys::clock::BootInstant;
use crate::wait::deadline::Deadline;

/// The default of [`Builder::turn`](crate::Builder::turn): a few times what a wake takes. With
/// twice as much 64 processes are less fair to each other, for hardly more throughput: the fewest
/// sections of one are 0.47 to 0.65 of the most, median 0.55, instead of 0.53 to 0.69, median 0.61,
/// and they do 1.58 times as many as by the bare futex instead of 1.52.
pub(crate) const DEFAULT_FAIRNESS_INTERVAL: Duration = Duration::from_micros(50);

/// How long to look whether somebody takes a lock that was passed on. Whoever waits awake needs
/// about 0.1 µs; looking longer than that only delays the sleeper.
const LOOK: Duration = Duration::from_nanos(300);

/// From how many spin hints on, at some 25 ns each, a section is worth passing on. A shorter one is
/// done sooner than the lock changes hands.
const LONG: u32 = 24;

/// Up to how many spin hints for each of the others' sections these are brief: then several fit
/// between two looks.
const BRIEF: u32 = 8;

/// After how many turns without a pause a handle leaves a free lock to the one that it wakes, and
/// for how long: a few times what a wake takes on an idle core. Without that, whoever takes a lock
/// again and again for sections longer than anybody waits awake for would keep all sleepers out for
/// as long as it goes on: each would wake, find the lock held, and go back to sleep. Done after
/// each turn it would slow down two processes with short sections, who meet awake anyway.
const ALONE: u32 = 20;
const PASSING: Duration = Duration::from_micros(50);

/// How long the sections of others take, with what these do until the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sections {
    /// Less than a look from another core.
    Brief,
    /// Neither.
    Middling,
    /// Longer than the lock takes to change hands.
    Long,
}

/// How often to look at the lock while waiting awake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Closely,
    AsUsual,
    Seldom,
}

/// How a handle behaves while others wait.
#[derive(Debug)]
pub(crate) struct Fairness {
    /// How long a turn is.
    interval: Duration,
    /// When the lock was last waited for, and since when that has been so without a pause.
    last: Cell<Option<BootInstant>>,
    /// The count of acquisitions then, and how long each had taken since the time before.
    count: Cell<u64>,
    period: Cell<Duration>,
    began: Cell<Option<BootInstant>>,
    /// Whether the turn is over and nobody has been let pass since.
    over: Cell<bool>,
    /// Until when a free lock is left to the one that was woken.
    passing: Cell<Option<BootInstant>>,
    /// Whether the present hold was waited for awake: then the one before is awake, and likely to
    /// come back.
    waited: Cell<bool>,
    /// What the sections of the others are like.
    sections: Cell<Sections>,
    /// When somebody was last known to sleep on the lock.
    crowded: Cell<Option<BootInstant>>,
}

/// For how long those who sleep count after they were seen.
const QUIET: Duration = Duration::from_millis(1);

impl Fairness {
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            last: Cell::new(None),
            count: Cell::new(0),
            period: Cell::new(Duration::MAX),
            began: Cell::new(None),
            over: Cell::new(false),
            passing: Cell::new(None),
            waited: Cell::new(false),
            sections: Cell::new(Sections::Middling),
            crowded: Cell::new(None),
        }
    }

    /// We have to wait for the lock, from now on, when so many acquisitions have been counted.
    pub(crate) fn arrive(&self, now: BootInstant, count: u64) {
        let before = self.count.replace(count);
        let last = self.last.replace(Some(now));
        if last.is_none_or(|last| now.since(last) >= self.interval) {
            self.begin(now);
        }
        let acquisitions = u32::try_from(count.wrapping_sub(before)).unwrap_or(u32::MAX).max(1);
        self.period.set(last.map_or(Duration::MAX, |last| now.since(last) / acquisitions));
        self.waited.set(false);
    }

    /// How long an acquisition has taken of late, by anybody, with what there was until the next.
    /// Very long if not known.
    pub(crate) fn period(&self) -> Duration {
        self.period.get()
    }

    /// We waited awake for so many spin hints, in which the lock was taken so often, and now it is
    /// free.
    pub(crate) fn look_back(&self, hints: u32, taken: u32) {
        self.waited.set(true);
        if hints >= LONG.saturating_mul(taken.max(1)) {
            self.sections.set(Sections::Long);
        } else if taken > 0 {
            // A short look at a single section tells nothing.
            let brief = hints <= BRIEF.saturating_mul(taken);
            self.sections.set(if brief { Sections::Brief } else { Sections::Middling });
        }
    }

    /// Somebody sleeps on the lock.
    pub(crate) fn note_sleepers(&self, now: BootInstant) {
        self.crowded.set(Some(now));
    }

    /// We have slept until now, and meanwhile the lock was taken so often. If not at all, then most
    /// likely nobody else wants it but the one who gave it.
    pub(crate) fn note_sleep(&self, now: BootInstant, taken: u64) {
        if taken > 0 {
            self.note_sleepers(now);
        }
    }

    /// How often to look at the lock while waiting awake.
    ///
    /// Long sections are watched closely if nobody sleeps. Done beside sleepers it kept these out
    /// for long: the longest wait of 64 processes was 130 ms instead of 20. Brief ones are watched
    /// seldom from the beginning. Otherwise processes with sections of some 10 ns, and a little to
    /// do between them, would have each other's cache line after each section: fifteen of them that
    /// did 20 000 each took twice as long.
    pub(crate) fn pace(&self, now: BootInstant) -> Pace {
        let is_over = |crowded: BootInstant| now.since(crowded) >= QUIET;
        match self.sections.get() {
            Sections::Brief => Pace::Seldom,
            Sections::Long if self.crowded.get().is_none_or(is_over) => Pace::Closely,
            Sections::Middling | Sections::Long => Pace::AsUsual,
        }
    }

    /// A turn begins: we have slept and hold the lock, or have rested, or nobody was there to be
    /// let pass.
    pub(crate) fn begin(&self, now: BootInstant) {
        self.began.set(Some(now));
        self.over.set(false);
    }

    /// Whether the one that we have woken should go first.
    pub(crate) fn is_over(&self) -> bool {
        self.over.get()
    }

    /// Whether somebody who waits awake may have the lock, and the sleepers be left asleep, as long
    /// as the turn is not over. To be asked once in a hold.
    pub(crate) fn may_go_on(&self) -> bool {
        self.waited.replace(false) && self.sections.get() == Sections::Long
    }

    /// Looks at the clock: whether the turn is over, and whether somebody is to be let pass.
    pub(crate) fn look(&self) {
        let now = BootInstant::now();
        let Some(began) = self.began.get() else {
            return self.begin(now);
        };
        let lasted = now.since(began);
        self.over.set(lasted >= self.interval);
        self.passing
            .set((lasted >= self.interval.saturating_mul(ALONE)).then(|| now.after(PASSING)));
    }

    /// Somebody has been woken. If the turn is over, whoever it is may run at once, even if the
    /// kernel has put it on this very core, which it does now and then although another is idle: it
    /// would have to wait there for as long as our time lasts.
    pub(crate) fn after_wake(&self) {
        if self.over.get() {
            thread::yield_now();
        }
    }

    /// Whether the next acquisition has something to see to by [`yield_to_woken`](Self::let_pass).
    pub(crate) fn is_passing(&self) -> bool {
        self.passing.get().is_some()
    }

    /// Leaves a free lock to the one that was woken, unless that was long ago, or whoever wants the
    /// lock has no time for it. If nobody comes, a new turn begins.
    ///
    /// `is_ours` says whether the word may be looked at: not in a child that a signal handler has
    /// forked meanwhile.
    pub(crate) fn yield_to_woken(
        &self,
        word: &AtomicU32,
        patience: Deadline,
        is_ours: impl Fn() -> bool,
    ) {
        let Some(until) = self.passing.take() else { return };
        if patience.clamp(PASSING).is_none_or(|time| time < PASSING) {
            return;
        }
        while is_ours() {
            // Partner: the taking swap of the one that was woken. Relaxed: it decides only when to
            // try.
            if !Word::from_bits(word.load(Relaxed)).is_free() {
                return;
            }
            let now = BootInstant::now();
            if !now.is_before(until) {
                return self.begin(now);
            }
            thread::yield_now();
        }
    }
}

/// After the lock was passed on: looks for a moment whether it is taken. If not, the wake is
/// ours; `is_ours` as in [`Fairness::yield_to_woken`].
pub(crate) fn wake_unless_taken(word: &AtomicU32, is_ours: impl Fn() -> bool) -> Wake {
    let begin = BootInstant::now();
    while is_ours() {
        for _ in 0..4 {
            // Partner: the taking swap of somebody else. Relaxed: `claim_wake` judges again.
            if !Word::from_bits(word.load(Relaxed)).is_free() {
                return Wake::Nobody;
            }
            std::hint::spin_loop();
        }
        if begin.elapsed() >= LOOK {
            return protocol::claim_wake(word);
        }
    }
    Wake::Nobody // a child: the wake is the parent's
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BootInstant, DEFAULT_FAIRNESS_INTERVAL, Fairness, Pace, QUIET};

    #[test]
    fn the_period_is_that_of_all_acquisitions_since_the_wait_before() {
        let (fairness, now) = (Fairness::new(DEFAULT_FAIRNESS_INTERVAL), BootInstant::now());
        fairness.arrive(now, 100);
        assert_eq!(fairness.period(), Duration::MAX, "nothing is known");
        let later = now.after(Duration::from_micros(10));
        fairness.arrive(later, 105);
        assert_eq!(fairness.period(), Duration::from_micros(2));
        fairness.arrive(later.after(Duration::from_micros(7)), 105);
        assert_eq!(fairness.period(), Duration::from_micros(7), "one is not over yet");
    }

    #[test]
    fn brief_sections_are_watched_seldom_and_long_ones_closely_unless_somebody_sleeps() {
        let (fairness, now) = (Fairness::new(DEFAULT_FAIRNESS_INTERVAL), BootInstant::now());
        assert_eq!(fairness.pace(now), Pace::AsUsual, "nothing is known");
        fairness.look_back(32, 10);
        assert_eq!(fairness.pace(now), Pace::Seldom);
        fairness.look_back(8, 0);
        assert_eq!(fairness.pace(now), Pace::Seldom, "a short look at one section tells nothing");
        fairness.look_back(32, 2);
        assert_eq!(fairness.pace(now), Pace::AsUsual);
        fairness.look_back(40, 1);
        assert_eq!(fairness.pace(now), Pace::Closely);
        fairness.note_sleepers(now);
        assert_eq!(fairness.pace(now), Pace::AsUsual);
        let later = now.after(QUIET);
        assert_eq!(fairness.pace(later), Pace::Closely);
        fairness.note_sleep(later, 0);
        assert_eq!(fairness.pace(later), Pace::Closely, "nobody is left asleep");
        fairness.note_sleep(later, 1);
        assert_eq!(fairness.pace(later), Pace::AsUsual);
    }
}
