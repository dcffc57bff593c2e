//! Tells the logger, which is foreign code: it may panic, use this very lock, fork, exit, or never
//! return.
//!
//! So it is told last, when nothing is in transition any more, and its panics end here. A call that
//! has done its work does not fail because a line could not be written, and a drop does not panic.
//! The panic hook has run. What else the logger has done to the handle, the caller looks at
//! afterwards (`docs/foreign-code.md`).

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Logs at this level, if that is wanted.
macro_rules! tell {
    ($level:ident, $($text:tt)+) => {
        if log::Level::$level <= log::max_level() {
            $crate::tell::contain(|| log::log!(log::Level::$level, $($text)+));
        }
    };
}

pub(crate) use tell;

/// Runs foreign code, and ends its panic here.
#[cold]
pub(crate) fn contain(foreign: impl FnOnce()) {
    let Err(panic) = catch_unwind(AssertUnwindSafe(foreign)) else { return };
    // What it panicked with is dropped by foreign code as well.
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        mem::forget(again);
    }
}
