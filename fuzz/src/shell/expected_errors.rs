//! Lists the documented errors of each call. No handle here is forked.

use std::time::{Duration, Instant};

use shmlock::{Error, Result, ShmLock};

/// How much longer than its timeout a call may take on a busy machine.
const SLACK: Duration = Duration::from_secs(5);

/// Makes a call that must end after `patience`.
pub(super) fn within<R>(patience: Duration, call: impl FnOnce() -> R) -> R {
    let start = Instant::now();
    let answer = call();
    assert!(start.elapsed() < patience + SLACK, "it took {:?}", start.elapsed());
    answer
}

/// Returns the result, or `None` for a documented error. The message of an error is one line
/// without control characters.
pub(super) fn only<R>(answer: Result<R>, documented: impl FnOnce(&Error) -> bool) -> Option<R> {
    match answer {
        Ok(answer) => Some(answer),
        Err(error) => {
            is_one_clean_line(&error.to_string());
            assert!(documented(&error), "undocumented for this call: {error:?}");
            None
        }
    }
}

/// Checks `Builder::open`, without the errors of a name.
pub(super) fn opened(answer: Result<ShmLock>) -> Option<ShmLock> {
    only(answer, |error| {
        matches!(
            error,
            Error::DescriptionTooLong { .. }
                | Error::InvalidMode { .. }
                | Error::NotALock { .. }
                | Error::ModeTooWide { .. }
                | Error::InUseWithOtherMode { .. }
                | Error::OpenTimedOut { .. }
        )
    })
}

/// Checks `lock` and similar calls with a timeout. `held` is what the handle said before: a hold
/// that the owner word denies ends with `Overwritten`.
pub(super) fn waited<R>(answer: Result<R>, held: bool) -> Option<R> {
    only(answer, |error| {
        error.is_timed_out()
            || !held && matches!(error, Error::Overwritten { .. })
            || matches!(
                error,
                Error::Cancelled { .. } | Error::WouldDeadlock { .. } | Error::Orphaned { .. }
            )
    })
}

/// Checks `try_lock` and `try_acquire`. They do not wait, so no event ends them.
pub(super) fn tried<R>(answer: Result<R>, held: bool) -> Option<R> {
    only(answer, |error| match error {
        Error::Overwritten { .. } => !held,
        error => matches!(error, Error::Orphaned { .. }),
    })
}

/// Checks `Guard::release` and `ShmLock::force_release`.
pub(super) fn given<R>(answer: Result<R>) -> Option<R> {
    only(answer, |error| matches!(error, Error::Overwritten { .. } | Error::NotHeld { .. }))
}

/// Checks that the text is one line without control characters.
pub(crate) fn is_one_clean_line(text: &str) {
    assert!(!text.is_empty() && !text.contains(char::is_control), "{text:?}");
}
