//! Turns errors of the library into the exceptions of the Python package.

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use shmlock::Error;

mod package {
    #![allow(missing_docs, reason = "the macro has no place for them")]
    pyo3::import_exception!(shmlock.shmlock_exceptions, ShmLockRuntimeError);
    pyo3::import_exception!(shmlock.shmlock_exceptions, ShmLockTimeoutError);
    pyo3::import_exception!(shmlock.shmlock_exceptions, ShmLockValueError);
}
pub(crate) use package::{ShmLockRuntimeError, ShmLockTimeoutError, ShmLockValueError};

/// Returns the exception for an error.
///
/// A failed system call is `OSError` with its errno and the path, so `PermissionError` and the like.
pub(crate) fn exception(error: &Error) -> PyErr {
    match error {
        Error::System { path, errno, .. } => {
            PyOSError::new_err((errno.raw_os_error(), error.to_string(), path.clone()))
        }
        Error::InvalidName { .. }
        | Error::ZeroPollInterval
        | Error::DescriptionTooLong { .. }
        | Error::SchemaTooLong { .. }
        | Error::InvalidMode { .. } => ShmLockValueError::new_err(error.to_string()),
        Error::OpenTimedOut { .. } => ShmLockTimeoutError::new_err(error.to_string()),
        _ => ShmLockRuntimeError::new_err(error.to_string()),
    }
}

/// Returns the exception for a use of an object in a process that has not made it.
pub(crate) fn of_another_process(name: &str) -> PyErr {
    ShmLockRuntimeError::new_err(format!(
        "lock {name:?} was made by another process, the parent of this one, and cannot be used \
         here. The parent is not disturbed. Make an object of this name in this process"
    ))
}

/// Returns the exception for an object whose `__init__` has not run.
pub(crate) fn not_initialised() -> PyErr {
    ShmLockRuntimeError::new_err(
        "the lock is not initialised: a class that inherits from ShmLock calls \
         super().__init__(lock_name)",
    )
}
