//! Spins: reads the word now and then, while that is cheaper than a sleep.

use std::cell::Cell;

use shmlock_core::wait::WaitContext;

use crate::shm::attach::Attachment;
use crate::sys::clock::BootInstant;
use crate::wait::tuning::{
    BRIEF_SECTION, HINTS_PER_READ, HINTS_PER_READ_IF_BRIEF, OWNER_STALLED, SPIN_LIMIT,
};

/// How often a handle reads the word while it spins, learnt from its earlier spins.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Several critical sections of others fit between two reads.
    are_sections_brief: Cell<bool>,
}

impl Pace {
    fn hints_per_read(&self) -> u32 {
        if self.are_sections_brief.get() { HINTS_PER_READ_IF_BRIEF } else { HINTS_PER_READ }
    }

    /// Learns from a spin of so many hints, in which the lock was acquired so often.
    fn learn(&self, hints: u32, acquisitions: u32) {
        // A short spin within one critical section tells nothing.
        if acquisitions > 0 || hints > BRIEF_SECTION {
            self.are_sections_brief.set(hints <= BRIEF_SECTION.saturating_mul(acquisitions));
        }
    }
}

/// Spins until the lock looks free, and returns `true` then.
///
/// Returns `false` if `begin` is [`SPIN_LIMIT`] ago, or if the lock was not acquired for
/// [`OWNER_STALLED`]; and at once in a child that a signal handler has forked meanwhile.
pub(super) fn spin(
    context: &WaitContext<'_>,
    shared: &Attachment,
    pace: &Pace,
    begin: BootInstant,
) -> bool {
    // Partner: the owner's `count_acquisition`, relaxed: a hint, which decides only how long to
    // spin, and how often to read. It lies beside the word.
    let count = || shared.region().fencing_token();
    let (first, hints_per_read) = (count(), pace.hints_per_read());
    let (mut last, mut moved_at, mut hints) = (first, begin, 0_u32);
    loop {
        for _ in 0..hints_per_read {
            std::hint::spin_loop();
        }
        hints = hints.saturating_add(hints_per_read);
        if !shared.is_ours() {
            return false;
        }
        let present = count();
        if context.looks_free() {
            let acquisitions = present.wrapping_sub(first);
            pace.learn(hints, u32::try_from(acquisitions).unwrap_or(u32::MAX));
            return true;
        }
        let now = BootInstant::now();
        if present != last {
            (last, moved_at) = (present, now);
        }
        if now.since(begin) >= SPIN_LIMIT || now.since(moved_at) >= OWNER_STALLED {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HINTS_PER_READ, HINTS_PER_READ_IF_BRIEF, Pace};

    #[test]
    fn a_handle_reads_seldom_while_several_critical_sections_fit_between_two_reads() {
        let pace = Pace::default();
        assert_eq!(pace.hints_per_read(), HINTS_PER_READ, "nothing is known");
        pace.learn(32, 10);
        assert_eq!(pace.hints_per_read(), HINTS_PER_READ_IF_BRIEF);
        pace.learn(8, 0);
        assert_eq!(pace.hints_per_read(), HINTS_PER_READ_IF_BRIEF, "it tells nothing");
        pace.learn(32, 2);
        assert_eq!(pace.hints_per_read(), HINTS_PER_READ);
        pace.learn(8, 1);
        pace.learn(32, 0);
        assert_eq!(pace.hints_per_read(), HINTS_PER_READ, "one section outlasts the spin");
    }
}
