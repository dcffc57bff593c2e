//! Bounds a test: its time, its rounds, and its waits for a state.

use std::num::NonZeroU64;
use std::time::{Duration, Instant};
use std::{env, thread};

/// The seconds that a test may take unless `SHMLOCK_TESTS_BOUND` says otherwise. A test takes a
/// few; the rest is for machines that are slow, emulated or busy.
const BOUND: u64 = 120;

/// Returns the time that a test may take.
#[must_use]
pub fn bound() -> Duration {
    Duration::from_secs(
        env::var("SHMLOCK_TESTS_BOUND").ok().and_then(|bound| bound.parse().ok()).unwrap_or(BOUND),
    )
}

/// Returns the number of rounds for this machine: `full`, divided by `SHMLOCK_TESTS_SLOWER`, which
/// says how many times slower an emulated machine is.
///
/// # Panics
/// If the variable is not a positive number.
#[must_use]
pub fn rounds(full: u64) -> u64 {
    let slower = env::var("SHMLOCK_TESTS_SLOWER")
        .map_or(NonZeroU64::MIN, |slower| slower.parse().expect("a number"));
    full.div_ceil(slower.get())
}

/// How long the rounds of a test last at most, if each needs several processes to take turns: on a
/// busy machine that costs each of them a turn of all that run.
pub const ROUNDS_TIME: Duration = Duration::from_secs(20);

/// Returns the numbers of [`rounds`], and ends early once [`ROUNDS_TIME`] is over, but not before
/// the first one.
pub fn rounds_in_time(full: u64) -> impl Iterator<Item = u64> {
    let begin = Instant::now();
    (0..rounds(full)).take_while(move |&round| round == 0 || begin.elapsed() < ROUNDS_TIME)
}

/// Yields until `so` returns `true`. The watchdog bounds it.
pub fn until(mut so: impl FnMut() -> bool) {
    while !so() {
        thread::yield_now();
    }
}
