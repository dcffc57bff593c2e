//! Calls the logger, which is foreign code: it may panic, use this lock, fork, exit, or never
//! return.
//!
//! The logger is called before or after all other work, never during a transition. Its panic ends
//! here, after the panic hook has run: a call that has done its work does not fail for a log line,
//! and a drop does not panic. The caller then checks what else the logger has done to the handle
//! (`docs/foreign-code.md`).

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Logs at this level, if the level is enabled.
macro_rules! tell {
    ($level:ident, $($text:tt)+) => {
        if log::Level::$level <= log::max_level() {
            $crate::tell::contain(|| log::log!(log::Level::$level, $($text)+));
        }
    };
}

pub(crate) use tell;

/// Runs foreign code and catches its panic.
#[cold]
pub(crate) fn contain(foreign: impl FnOnce()) {
    let Err(panic) = catch_unwind(AssertUnwindSafe(foreign)) else { return };
    // The destructor of the panic payload is foreign code as well.
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        mem::forget(again);
    }
}
