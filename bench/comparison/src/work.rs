//! What is about a microsecond of work? So many turns of a loop, measured once and then the same
//! for all.

use std::hint::black_box;

use crate::clock::now;

/// Works for so many turns. Each needs the one before, and none touches memory.
#[inline]
pub(crate) fn work(turns: u64) {
    let mut value = turns;
    for _ in 0..turns {
        value = black_box(value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}

/// How many turns take a microsecond: by the fastest of several tries, for a busy machine makes
/// them slower only.
pub(crate) fn turns_of_a_microsecond() -> u64 {
    const TURNS: u64 = 100_000;
    let fastest = (0..20).map(|_| {
        let start = now();
        work(TURNS);
        now() - start
    });
    TURNS * 1000 / fastest.min().unwrap_or(1).max(1)
}
