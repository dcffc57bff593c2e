//! Marks the begin and the end of the phase under test: functions that do nothing and take a
//! breakpoint.

use std::hint::black_box;

/// Runs `phase` between the marks.
pub(super) fn within<R>(phase: impl FnOnce() -> R) -> R {
    phase_begins();
    let result = phase();
    phase_ends();
    result
}

/// Returns the address at which the phase begins.
pub(super) fn begin() -> usize {
    phase_begins as extern "C" fn() as usize
}

/// Returns the address at which the phase ends.
pub(super) fn end() -> usize {
    phase_ends as extern "C" fn() as usize
}

// The bodies differ, or the compiler might merge them.
#[inline(never)]
extern "C" fn phase_begins() {
    black_box(0);
}

#[inline(never)]
extern "C" fn phase_ends() {
    black_box(1);
}
