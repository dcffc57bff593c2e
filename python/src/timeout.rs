//! Reads the timeouts of the Python package: numbers, booleans and `None`.

use std::time::{Duration, Instant};

use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyBool;

use crate::foreign;

/// How long an acquisition may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// One try: `False`, and a time that has passed.
    OneTry,
    /// No limit: `None` and zero.
    Forever,
    /// A time after the begin of the call; `True` is one second.
    For(Duration),
}

impl Limit {
    /// Reads a timeout.
    ///
    /// # Errors
    /// `TypeError` for anything but a number, a boolean and `None`; those of a number of a class
    /// of the program.
    pub(crate) fn read(timeout: &Bound<'_, PyAny>) -> PyResult<Self> {
        if timeout.is_none() {
            return Ok(Self::Forever);
        }
        if let Ok(flag) = timeout.cast::<PyBool>() {
            let second = Self::For(Duration::from_secs(1));
            return Ok(if flag.is_true() { second } else { Self::OneTry });
        }
        match foreign::number(timeout) {
            Ok(seconds) => Ok(Self::of_seconds(seconds)),
            // An int beyond any float.
            Err(error) if error.is_instance_of::<PyOverflowError>(timeout.py()) => {
                Ok(if timeout.gt(0)? { Self::Forever } else { Self::OneTry })
            }
            Err(error) if error.is_instance_of::<PyTypeError>(timeout.py()) => {
                Err(PyTypeError::new_err(format!(
                    "a timeout is a number of seconds, a bool or None, not {}",
                    timeout.get_type()
                )))
            }
            Err(error) => Err(error),
        }
    }

    /// Zero is no limit, as in the Python package. What is below zero, or no number, is one try.
    fn of_seconds(seconds: f64) -> Self {
        if seconds == 0.0 {
            return Self::Forever;
        }
        match Duration::try_from_secs_f64(seconds) {
            Ok(time) => Self::For(time),
            Err(_) if seconds > 0.0 => Self::Forever, // beyond any clock
            Err(_) => Self::OneTry,
        }
    }

    /// Begins to count.
    pub(crate) fn begin(self) -> Deadline {
        match self {
            Self::OneTry => Deadline::Passed,
            Self::Forever => Deadline::Never,
            Self::For(time) => {
                Instant::now().checked_add(time).map_or(Deadline::Never, Deadline::At)
            }
        }
    }
}

/// Returns a poll interval that is above zero: at least a microsecond.
pub(crate) fn interval(seconds: f64) -> Duration {
    let interval = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
    interval.max(Duration::from_micros(1))
}

/// When an acquisition gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deadline {
    Passed,
    At(Instant),
    Never,
}

impl Deadline {
    /// Returns the time until then, at most `most`; `None` if there is none left.
    pub(crate) fn left(self, most: Duration) -> Option<Duration> {
        match self {
            Self::Passed => None,
            Self::Never => Some(most),
            Self::At(end) => {
                let left = end.saturating_duration_since(Instant::now());
                (!left.is_zero()).then_some(left.min(most))
            }
        }
    }
}
