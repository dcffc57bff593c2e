//! Which errors each call may answer with, by its documentation. No handle here is ever forked.

use std::time::{Duration, Instant};

use shmlock::{Error, Result, ShmLock};

/// How much longer than its patience a call may take: not the lock's doing, but that of a busy
/// machine.
const SLACK: Duration = Duration::from_secs(5);

/// Runs a call that must end after `patience`.
pub(super) fn within<R>(patience: Duration, call: impl FnOnce() -> R) -> R {
    let start = Instant::now();
    let answer = call();
    assert!(start.elapsed() < patience + SLACK, "no end for {:?}", start.elapsed());
    answer
}

/// The answer, if it is none of the errors that the call may give; text of these is one line and
/// safe for a terminal.
pub(super) fn only<R>(answer: Result<R>, documented: impl FnOnce(&Error) -> bool) -> Option<R> {
    match answer {
        Ok(answer) => Some(answer),
        Err(error) => {
            is_one_clean_line(&error.to_string());
            assert!(documented(&error), "not documented for this call: {error:?}");
            None
        }
    }
}

/// `Builder::open`, without the errors of a name.
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

/// `lock` and what waits like it, with a patience.
pub(super) fn waited<R>(answer: Result<R>) -> Option<R> {
    only(answer, |error| {
        error.is_timed_out()
            || matches!(
                error,
                Error::Cancelled { .. } | Error::WouldDeadlock { .. } | Error::Orphaned { .. }
            )
    })
}

/// `try_lock` and `try_acquire`: neither waits, so no event ends them.
pub(super) fn tried<R>(answer: Result<R>) -> Option<R> {
    only(answer, |error| matches!(error, Error::Orphaned { .. }))
}

/// `Guard::release`, and `ShmLock::force_release`.
pub(super) fn given<R>(answer: Result<R>) -> Option<R> {
    only(answer, |error| matches!(error, Error::Overwritten { .. } | Error::NotHeld { .. }))
}

/// Nothing in the text moves a terminal's cursor.
pub(crate) fn is_one_clean_line(text: &str) {
    assert!(!text.is_empty() && !text.contains(char::is_control), "{text:?}");
}
