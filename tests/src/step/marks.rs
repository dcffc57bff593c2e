//! Where the phase under test begins and ends, and where the child begins to wait awake before it:
//! functions that a breakpoint is put into, and that do nothing.

use std::hint::black_box;

/// Runs `phase` between the marks.
pub(super) fn within<R>(phase: impl FnOnce() -> R) -> R {
    phase_begins();
    let result = phase();
    phase_ends();
    result
}

/// From here on the child is watched until it waits awake.
pub(super) fn before_the_wait() {
    wait_begins();
}

/// The address of that.
pub(super) fn wait() -> usize {
    wait_begins as extern "C" fn() as usize
}

/// The address at which the phase begins.
pub(super) fn begin() -> usize {
    phase_begins as extern "C" fn() as usize
}

/// The address at which it ends.
pub(super) fn end() -> usize {
    phase_ends as extern "C" fn() as usize
}

// Not equal, or the compiler might make one of them.
#[inline(never)]
extern "C" fn phase_begins() {
    black_box(0);
}

#[inline(never)]
extern "C" fn phase_ends() {
    black_box(1);
}

#[inline(never)]
extern "C" fn wait_begins() {
    black_box(2);
}
