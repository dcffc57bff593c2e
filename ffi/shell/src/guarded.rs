//! Catches panics before they unwind into C.

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

#[cfg(test)]
mod tests {
    use super::guarded;
    use crate::status::Status;

    #[test]
    fn a_panic_and_one_whose_content_panics_in_its_destructor_are_a_status() {
        struct Again;
        impl Drop for Again {
            fn drop(&mut self) {
                panic!("in the destructor");
            }
        }
        assert_eq!(guarded(|| panic!("a defect")), Status::Panicked);
        assert_eq!(guarded(|| std::panic::panic_any(Again)), Status::Panicked);
        assert_eq!(guarded(|| Status::Ok), Status::Ok);
    }
}
