//! How does an example end when something goes wrong? With one line that says what, and exit status
//! 1.

use std::error::Error;
use std::fmt;

/// The result of whatever may end an example.
pub type Result<T> = std::result::Result<T, Failure>;

/// Any error, or a message. `main` prints it by its `Debug`, which here is the message itself.
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
