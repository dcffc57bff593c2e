//! Ends a program with one line that states the error, and exit status 1.

use std::error::Error;
use std::fmt;

/// The result of an operation whose error ends the program.
pub type Result<T> = std::result::Result<T, Failure>;

/// Any error, or a message. `main` prints its `Debug` form, which is the message itself.
pub struct Failure(Box<dyn Error + Send + Sync>);

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
