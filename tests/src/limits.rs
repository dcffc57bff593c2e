//! Bounds a test: its time, its rounds, and its waits for a state.

use std::num::NonZeroU64;
use std::time::Duration;
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

/// Yields until `so` returns `true`. The watchdog bounds it.
pub fn until(mut so: impl FnMut() -> bool) {
    while !so() {
        thread::yield_now();
    }
}
