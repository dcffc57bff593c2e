//! Checks names of locks and events, and makes file paths of them.

use std::fmt;
use std::path::{Path, PathBuf};

/// The suffix of lock files: user data of the same name is never touched.
pub(crate) const SUFFIX: &str = ".shmlock";
/// The suffix of the files of named exit events.
pub(crate) const EVENT_SUFFIX: &str = ".shmlock-event";

/// The longest name in bytes: a file name on Linux has 255 at most, with the longer suffix.
pub const NAME_MAX: usize = 255 - EVENT_SUFFIX.len();

/// The default directory of locks: the tmpfs of `shm_overview(7)`.
pub(crate) const DEFAULT_DIRECTORY: &str = "/dev/shm";

/// The reason why a name is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InvalidNameReason {
    /// It has no characters.
    Empty,
    /// It contains `/`.
    Slash,
    /// It contains a NUL byte.
    Nul,
    /// It is `.` or `..`.
    Dots,
    /// With its suffix it is longer than a file name may be.
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
}

/// A checked name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(String);

impl Name {
    /// Checks a name.
    pub(crate) fn new(name: &str) -> Result<Self, InvalidNameReason> {
        Err(match name {
            "" => InvalidNameReason::Empty,
            "." | ".." => InvalidNameReason::Dots,
            _ if name.contains('/') => InvalidNameReason::Slash,
            _ if name.contains('\0') => InvalidNameReason::Nul,
            _ if name.len() > NAME_MAX => InvalidNameReason::TooLong { len: name.len() },
            _ => return Ok(Self(name.to_owned())),
        })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the path of the file with this name and suffix.
    pub(crate) fn path_in(&self, directory: &Path, suffix: &str) -> PathBuf {
        directory.join(format!("{}{suffix}", self.0))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
