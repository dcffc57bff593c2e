//! Names on disk: which strings may name a lock, and where its file is.

use std::fmt;
use std::path::{Path, PathBuf};

/// What our files end in, so that user data of the same name is never touched.
pub(crate) const SUFFIX: &str = ".shmlock";
/// What the files of named exit events end in.
pub(crate) const EVENT_SUFFIX: &str = ".shmlock-event";

/// Longest name in bytes: what `NAME_MAX` of Linux file systems (255) leaves beside the longer
/// suffix.
pub const NAME_MAX: usize = 255 - EVENT_SUFFIX.len();

/// Where locks live if nobody says otherwise: the tmpfs that `shm_overview(7)` names.
pub(crate) const DEFAULT_DIRECTORY: &str = "/dev/shm";

/// Why a name is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// With the suffix of a lock it is longer than a file name may be.
    TooLong {
        /// Its bytes.
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

    /// The file of this name with this suffix.
    pub(crate) fn path_in(&self, directory: &Path, suffix: &str) -> PathBuf {
        directory.join(format!("{}{suffix}", self.0))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
