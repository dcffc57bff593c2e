//! Turns errors of the library into the exceptions of the Python package.

use pyo3::exceptions::{PyOSError, PyRuntimeError};
use pyo3::prelude::*;
use shmlock::Error;

/// Makes an exception of one of the package's classes.
///
/// The package is asked for its present class: a program that reloads modules catches what it
/// imports afterwards.
fn of_package(class: &str, text: String) -> PyErr {
    Python::attach(|py| {
        let module = py.import("shmlock.shmlock_exceptions");
        match module.and_then(|module| module.getattr(class)?.call1((&text,))) {
            Ok(error) => PyErr::from_value(error),
            Err(_) => PyRuntimeError::new_err(text), // the interpreter is ending
        }
    })
}

/// Returns a `ShmLockRuntimeError`.
pub(crate) fn runtime_error(text: impl Into<String>) -> PyErr {
    of_package("ShmLockRuntimeError", text.into())
}

/// Returns a `ShmLockValueError`.
pub(crate) fn value_error(text: impl Into<String>) -> PyErr {
    of_package("ShmLockValueError", text.into())
}

/// Returns the text of an error, with arguments of Python in place of Rust's settings.
fn words(error: &Error) -> String {
    error.to_string().replace("Builder::", "the argument ")
}

/// Returns the exception for an error.
///
/// A failed system call is `OSError` with its errno and the path, so `PermissionError` and the
/// like.
pub(crate) fn exception(error: &Error) -> PyErr {
    match error {
        Error::System { path, errno, .. } => {
            // A `PathBuf` would become a `pathlib.Path`, whose import may fail.
            let path = path.as_os_str().to_owned();
            PyOSError::new_err((errno.raw_os_error(), words(error), path))
        }
        Error::InvalidName { .. }
        | Error::ZeroPollInterval
        | Error::DescriptionTooLong { .. }
        | Error::SchemaTooLong { .. }
        | Error::InvalidMode { .. } => value_error(words(error)),
        Error::OpenTimedOut { .. } => of_package("ShmLockTimeoutError", words(error)),
        _ => runtime_error(words(error)),
    }
}

/// Returns the exception for a use of an object in a process that has not made it.
pub(crate) fn of_another_process(name: &str) -> PyErr {
    runtime_error(format!(
        "lock {name:?} was made by another process, the parent of this one, and cannot be used \
         here. The parent is not disturbed. Make an object of this name in this process"
    ))
}

/// Returns the exception for an object whose `__init__` has not run.
pub(crate) fn not_initialised() -> PyErr {
    runtime_error(
        "the lock is not initialised: a class that inherits from ShmLock calls \
         super().__init__(lock_name)",
    )
}
