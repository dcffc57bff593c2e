//! Defines the constants that were measured, and the limits of sleeping: each with its unit, its
//! reason, and the benchmark that would change it. `lock/settings.rs` has the default poll
//! interval.
//!
//! Figures are those of the comparison (`bench/comparison/src/figures/`, results in
//! `docs/figures.md`): C is many contenders, H a hand-off, R a recovery, W the cost of waiting.
//! More cores, or a processor whose wake takes much longer, would change the constants of spinning
//! and fairness.

use std::time::Duration;

// Spinning.

/// How long a waiter spins: about what a sleep and a wake cost, so that a spin in vain at most
/// doubles the price of a wait. By a clock, because the length of a spin hint differs much between
/// processors. Figures C and H.
pub(crate) const SPIN_LIMIT: Duration = Duration::from_micros(10);

/// How many spin hints a waiter makes between two reads of the word. More hints delay the hand-off.
/// Figure H to a waiter that has just arrived.
pub(crate) const HINTS_PER_READ: u32 = 1;

/// How many spin hints while more than two contend. Fewer hints keep the cache line from the owner,
/// and favour the waiters that share its caches. Figure C with 1 µs of work.
pub(crate) const HINTS_PER_READ_AMONG_OTHERS: u32 = 4;

/// How many spin hints while critical sections are brief. Each read takes the cache line from the
/// owner, and several of its sections fit between two reads. Figure C with empty sections.
pub(crate) const HINTS_PER_READ_IF_BRIEF: u32 = 32;

/// After how many spin hints, at least, a spinning waiter reads the clock and the count of
/// acquisitions. A reading takes as long as a few hints, and delays the notice of a release. Eight
/// hints are short beside [`OWNER_STALLED`], also on a processor with long hints. Figure H to a
/// waiter that has just arrived.
pub(crate) const HINTS_PER_CLOCK: u32 = 8;

/// The longest time, in spin hints, from one acquisition to the next at which critical sections
/// count as brief. Figure C with empty sections.
pub(crate) const BRIEF_SECTION: u32 = 8;

/// After how long without an acquisition a spinning waiter assumes that the owner was preempted, or
/// twice what an acquisition has taken of late if that is longer. Counted from the beginning of the
/// wait if this spin has seen no acquisition. The spinning waiter may occupy the CPU that the owner
/// needs. Figure C with 1 µs of work; its p99.9 would change the factor of two.
pub(crate) const OWNER_STALLED: Duration = Duration::from_micros(2);

/// How long a waiter that was woken in vain sleeps without setting WAITERS. The kernel adds its
/// timer slack, 50 µs by default (`PR_SET_TIMERSLACK(2const)`). Figure C with 1 µs of work.
pub(crate) const BACK_OFF: Duration = Duration::from_micros(1);

// Fairness.

/// The default of [`Builder::fairness_interval`](crate::Builder::fairness_interval): several
/// times what a wake takes. With a longer one, contenders hand the lock on more often while they
/// run, but more waiters wait for long. Figure C with 1 µs of work: sections, fewest/most, p99.9.
pub(crate) const DEFAULT_FAIRNESS_INTERVAL: Duration = Duration::from_micros(100);

/// After how many fairness intervals without a pause a handle gives a woken waiter a head start.
/// A head start after each interval would slow down contenders with short sections, which meet
/// while they run. Figure C, longest wait.
pub(crate) const HEAD_START_AFTER: u32 = 10;

/// How long that head start is: a few times what a wake takes on an idle core. Figure H to a waiter
/// that has been asleep.
pub(crate) const HEAD_START: Duration = Duration::from_micros(50);

// Sleeping.

/// How long the first sleep of a waiter is: many times what a hand-off takes, and so long that
/// registering with the watch, which may start a thread, does not count. Figures H and R after
/// 1 ms.
pub(crate) const FIRST_SLEEP: Duration = Duration::from_millis(1);

/// The shortest sleep of the waiter with which a watch begins, until it has begun. The kernel adds
/// its timer slack, as above. Usually the watch takes a few such sleeps. Figure R after 1 ms.
pub(crate) const PENDING_NAP: Duration = Duration::from_micros(10);

/// While the watch has not begun, a sleep lasts this part (1/16) of the time since the first sleep.
/// Arbitrary: the sleeps reach the default poll interval within a second.
pub(crate) const PENDING_NAP_PART: u32 = 16;

/// The longest time until the reactor wakes a task, which checks the lock and sleeps again.
/// `sys/sleep.rs` has that of threads. Arbitrary, but so short that its sum with any time on any
/// clock can be represented.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the reactor's thread stays without a wait: many times what it takes to start the
/// thread. Arbitrary beyond that; no benchmark.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_millis(50);

/// How many attempts one poll of a future makes while the word moves under it, before other tasks
/// run. Arbitrary: the word has to change hands between two attempts for one of these.
pub(crate) const ATTEMPTS_PER_POLL: u32 = 8;
