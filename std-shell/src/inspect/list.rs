//! Lists the locks and the named exit events of a directory.

use std::path::Path;

use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::name::{DEFAULT_DIRECTORY, EVENT_SUFFIX, Name, SUFFIX};

/// Returns the names of the locks in `/dev/shm`, sorted. They may have users, or be left by dead
/// processes.
///
/// Reads the names of files and opens none. Another file may have the suffix of a lock;
/// [`Builder::inspect`](crate::Builder::inspect) tells. A file whose name is not UTF-8 is no lock.
///
/// # Errors
/// [`Error::System`] if the directory cannot be read.
///
/// # Examples
/// ```
/// # let name = &format!("doc-list-{}", std::process::id()); // runs do not meet
/// let lock = shmlock::ShmLock::open(name)?;
/// assert!(shmlock::list()?.contains(name));
/// # Ok::<(), shmlock::Error>(())
/// ```
pub fn list() -> Result<Vec<String>> {
    list_in(DEFAULT_DIRECTORY)
}

/// Returns the names of the locks in a [directory](crate::Builder::directory), sorted; otherwise
/// like [`list`].
///
/// # Errors
/// Those of [`list`].
pub fn list_in(directory: impl AsRef<Path>) -> Result<Vec<String>> {
    names_in(directory.as_ref(), SUFFIX, "list the locks in")
}

/// Returns the names of the exit events in `/dev/shm`, sorted. They may have users, or be left by
/// dead processes.
///
/// Reads the names of files and opens none, like [`list`];
/// [`ExitEvent::inspect`](crate::ExitEvent::inspect) reads one event.
///
/// # Errors
/// Those of [`list`].
///
/// # Examples
/// ```
/// use shmlock::{ExitEvent, exit_events};
///
/// # let name = &format!("doc-exit-events-{}", std::process::id()); // runs do not meet
/// let stop = ExitEvent::named(name)?;
/// assert!(exit_events()?.contains(name));
/// drop(stop); // the last user removes the file
/// assert!(!exit_events()?.contains(name));
/// # Ok::<(), shmlock::Error>(())
/// ```
pub fn exit_events() -> Result<Vec<String>> {
    exit_events_in(DEFAULT_DIRECTORY)
}

/// Returns the names of the exit events in a directory, as
/// [`ExitEvent::named_in`](crate::ExitEvent::named_in) takes it; otherwise like [`exit_events`].
///
/// # Errors
/// Those of [`list`].
pub fn exit_events_in(directory: impl AsRef<Path>) -> Result<Vec<String>> {
    names_in(directory.as_ref(), EVENT_SUFFIX, "list the exit events in")
}

/// Returns the names of the files with this suffix, without it, where they are valid names.
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
