//! Lists the locks and the named exit events of a directory.

use std::path::Path;

use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::name::{DEFAULT_DIRECTORY, EVENT_SUFFIX, Name, SUFFIX};

/// The names of the locks in `/dev/shm`, sorted; those of live users as well as what dead ones
/// left.
///
/// By the files' names alone: nothing is opened. A file that ends as locks do may still be none,
/// which [`Builder::inspect`](crate::Builder::inspect) tells. A file whose name is no text cannot
/// be a lock's.
///
/// # Errors
/// [`Error::System`] if the directory cannot be read.
pub fn list() -> Result<Vec<String>> {
    list_in(DEFAULT_DIRECTORY)
}

/// As [`list`], in the directory that [`Builder::directory`](crate::Builder::directory) would
/// name.
///
/// # Errors
/// As [`list`].
pub fn list_in(directory: impl AsRef<Path>) -> Result<Vec<String>> {
    names_in(directory.as_ref(), SUFFIX, "list the locks in")
}

/// Returns the names of the exit events in `/dev/shm`, sorted; those of live users as well as what
/// dead ones left.
///
/// As [`list`], by the files' names alone; [`ExitEvent::inspect`](crate::ExitEvent::inspect) looks
/// at one.
///
/// # Errors
/// As [`list`].
///
/// # Examples
/// ```
/// use shmlock::{ExitEvent, exit_events};
///
/// # let name = &format!("doc-exit-events-{}", std::process::id()); // others may run this at the same time
/// let stop = ExitEvent::named(name)?;
/// assert!(exit_events()?.contains(name));
/// drop(stop); // the last user takes the file with it
/// assert!(!exit_events()?.contains(name));
/// # Ok::<(), shmlock::Error>(())
/// ```
pub fn exit_events() -> Result<Vec<String>> {
    exit_events_in(DEFAULT_DIRECTORY)
}

/// Returns the same for the directory that [`ExitEvent::named_in`](crate::ExitEvent::named_in)
/// would name.
///
/// # Errors
/// As [`list`].
pub fn exit_events_in(directory: impl AsRef<Path>) -> Result<Vec<String>> {
    names_in(directory.as_ref(), EVENT_SUFFIX, "list the exit events in")
}

/// What the names of files with this suffix begin with, where that is a name that may be given.
fn names_in(directory: &Path, suffix: &str, operation: &'static str) -> Result<Vec<String>> {
    let failed = |error: std::io::Error| Error::System {
        operation,
        path: directory.to_owned(),
        errno: Errno::from_io_error(&error).unwrap_or(Errno::IO),
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let file = entry.map_err(failed)?.file_name();
        let name = file.to_str().and_then(|file| file.strip_suffix(suffix));
        names.extend(name.filter(|name| Name::new(name).is_ok()).map(str::to_owned));
    }
    names.sort_unstable();
    Ok(names)
}
