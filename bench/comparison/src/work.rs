//! Does about a microsecond of work: turns of a loop, whose number is measured once and the same
//! for all contenders.

use std::hint::black_box;

use crate::clock::now;

/// Works for this many turns. Each depends on the previous one, and none touches memory.
#[inline]
pub(crate) fn work(turns: u64) {
    let mut value = turns;
    for _ in 0..turns {
        value = black_box(value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    }
}

/// Returns the number of turns in a microsecond, by the fastest of several series: other load only
/// slows them down.
pub(crate) fn turns_of_a_microsecond() -> u64 {
    const TURNS: u64 = 100_000;
    let fastest = (0..20).map(|_| {
        let start = now();
        work(TURNS);
        now() - start
    });
    TURNS * 1000 / fastest.min().unwrap_or(1).max(1)
}
