//! Catches what must not unwind into C.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::status::Status;

/// Runs a call, and returns its result. A panic in it is [`Status::Panicked`]: no call of the
/// library panics, so it is a defect.
#[inline]
pub(crate) fn guarded(call: impl FnOnce() -> Status) -> Status {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        // Its destructor may panic as well.
        mem::forget(panic);
        Status::Panicked
    })
}
