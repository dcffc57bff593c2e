//! Spins: reads the word now and then, while that is cheaper than a sleep.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use shmlock_core::wait::WaitContext;

use crate::shm::attach::Attachment;
use crate::sys::clock::BootInstant;
use crate::wait::tuning::{
    BRIEF_SECTION, HINTS_PER_CLOCK, HINTS_PER_READ, HINTS_PER_READ_AMONG_OTHERS,
    HINTS_PER_READ_IF_BRIEF, OWNER_STALLED, SPIN_LIMIT,
};

/// How often a spinning waiter reads the word. Each read takes the cache line from the owner, and
/// from the other waiters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reads {
    /// After each spin hint: no other waiter is known to spin.
    Alone,
    /// Less often: others have acquired the lock during the last spin, or before it.
    AmongOthers,
    /// Seldom: several critical sections of others fit between two reads. A handle's first spin
    /// reads so too, because that disturbs the owner least. Figure S.
    #[default]
    BriefSections,
}

impl Reads {
    const fn hints(self) -> u32 {
        match self {
            Self::Alone => HINTS_PER_READ,
            Self::AmongOthers => HINTS_PER_READ_AMONG_OTHERS,
            Self::BriefSections => HINTS_PER_READ_IF_BRIEF,
        }
    }
}

/// How a handle spins, learnt from its earlier waits.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// How it reads the word, by what its last spin has seen.
    reads: Cell<Reads>,
    /// When it last had to wait, and the count of acquisitions then.
    last_arrival: Cell<Option<(BootInstant, u64)>>,
    /// After how long without an acquisition the owner stalls.
    stall_limit: Cell<Duration>,
    /// How many acquisitions there were between its last two waits.
    acquired_between: Cell<u64>,
    /// The hints of the last spin that found the lock free, and the acquisitions during it; `None`
    /// once learnt. Small: it is stored while the lock is free.
    last_spin: Cell<Option<(NonZeroU32, u32)>>,
}

/// How many acquisitions there are between two waits of a handle that alternates with one other.
const OF_A_PAIR: u64 = 2;

impl Pace {
    /// Learns, as a wait begins, the mean time from one acquisition to the next since this handle's
    /// last wait. An owner that takes twice as long stalls.
    #[inline]
    pub(crate) fn note_arrival(&self, now: BootInstant, count: u64) {
        self.learn(); // first: that spin belongs to the wait before, as does `acquired_between`
        let period = self.last_arrival.replace(Some((now, count))).map_or(
            Duration::MAX,
            |(then, before)| {
                let acquisitions = count.wrapping_sub(before);
                self.acquired_between.set(acquisitions);
                now.since(then) / u32::try_from(acquisitions).unwrap_or(u32::MAX).max(1)
            },
        );
        self.stall_limit.set(period.saturating_mul(2).max(OWNER_STALLED));
    }

    /// Notes a spin that has found the lock free, for [`learn`](Self::learn). Stores only: the lock
    /// is free meanwhile.
    #[inline]
    fn note_spin(&self, hints: u32, acquisitions: u64) {
        let acquisitions = u32::try_from(acquisitions).unwrap_or(u32::MAX);
        self.last_spin.set(NonZeroU32::new(hints).map(|hints| (hints, acquisitions)));
    }

    /// Learns from the last spin that found the lock free, if that was not done yet. The next wait
    /// and the next spin call this first.
    fn learn(&self) {
        let Some((hints, acquisitions)) = self.last_spin.take() else { return };
        let hints = hints.get();
        // A short spin within one critical section tells nothing.
        if acquisitions == 0 && hints <= BRIEF_SECTION {
            return;
        }
        let is_alone = acquisitions == 0 && self.acquired_between.get() <= OF_A_PAIR;
        let is_brief = acquisitions > 0 && hints <= BRIEF_SECTION.saturating_mul(acquisitions);
        self.reads.set(match (is_alone, is_brief) {
            (true, _) => Reads::Alone,
            (false, true) => Reads::BriefSections,
            (false, false) => Reads::AmongOthers,
        });
    }
}

/// Spins until the lock looks free, and returns `true` then.
///
/// Returns `false` soon after `begin` is [`SPIN_LIMIT`] ago, or after the owner stalls; and at the
/// next read in a child that a signal handler has forked meanwhile.
pub(super) fn spin(
    context: &WaitContext<'_>,
    shared: &Attachment,
    pace: &Pace,
    begin: BootInstant,
) -> bool {
    // Partner: the owner's `count_acquisition`, relaxed: a hint, which decides only how long to
    // spin, and how often to read. It lies beside the word.
    let count = || shared.region().fencing_token();
    pace.learn();
    let (first, hints_per_read) = (count(), pace.reads.get().hints());
    let reads_per_clock = (HINTS_PER_CLOCK / hints_per_read).max(1);
    let (mut last, mut moved_at, mut hints) = (first, begin, 0_u32);
    loop {
        for _ in 0..reads_per_clock {
            for _ in 0..hints_per_read {
                std::hint::spin_loop();
            }
            hints = hints.saturating_add(hints_per_read);
            if !shared.is_ours() {
                return false;
            }
            if context.looks_free() {
                pace.note_spin(hints, count().wrapping_sub(first));
                return true;
            }
        }
        let (present, now) = (count(), BootInstant::now());
        if present != last {
            (last, moved_at) = (present, now);
        }
        if now.since(begin) >= SPIN_LIMIT || now.since(moved_at) >= pace.stall_limit.get() {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BootInstant, OWNER_STALLED, Pace, Reads};

    #[test]
    fn an_owner_stalls_after_twice_the_time_that_an_acquisition_has_taken_of_late() {
        let (pace, now) = (Pace::default(), BootInstant::now());
        pace.note_arrival(now, 100);
        assert_eq!(pace.stall_limit.get(), Duration::MAX, "nothing is known");
        let later = now.after(Duration::from_micros(10));
        pace.note_arrival(later, 105);
        assert_eq!(pace.stall_limit.get(), Duration::from_micros(4));
        let last = later.after(Duration::from_micros(7));
        pace.note_arrival(last, 105);
        assert_eq!(pace.stall_limit.get(), Duration::from_micros(14), "one is not over yet");
        pace.note_arrival(last.after(Duration::from_micros(7)), 1000);
        assert_eq!(pace.stall_limit.get(), OWNER_STALLED, "at least so long");
    }

    #[test]
    fn a_handle_reads_less_often_the_more_others_acquire_between_two_reads() {
        let pace = Pace::default();
        let learn = |hints, acquisitions| {
            pace.note_spin(hints, acquisitions);
            pace.learn();
            pace.reads.get()
        };
        assert_eq!(pace.reads.get(), Reads::BriefSections, "nothing is known");
        assert_eq!(learn(32, 0), Reads::Alone, "no other acquires");
        assert_eq!(learn(32, 10), Reads::BriefSections);
        pace.learn();
        assert_eq!(pace.reads.get(), Reads::BriefSections, "each spin teaches once");
        assert_eq!(learn(8, 0), Reads::BriefSections, "it tells nothing");
        assert_eq!(learn(32, 2), Reads::AmongOthers);
        assert_eq!(learn(32, 0), Reads::Alone, "one section outlasts the spin");
        let now = BootInstant::now();
        for (arrival, expected) in [(5, Reads::Alone), (8, Reads::AmongOthers), (10, Reads::Alone)]
        {
            pace.note_arrival(now, arrival);
            assert_eq!(learn(32, 0), expected, "{arrival} acquisitions so far");
        }
        pace.note_spin(32, 10);
        pace.note_arrival(now, 11);
        assert_eq!(pace.reads.get(), Reads::BriefSections, "a spin teaches the next wait");
        let hints = [Reads::Alone, Reads::AmongOthers, Reads::BriefSections].map(Reads::hints);
        assert!(hints.is_sorted(), "{hints:?}");
    }
}
