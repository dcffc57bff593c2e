//! The errors: each keeps the lock or path it concerns and the system's errno.

pub(crate) mod display;
mod hint;
mod io;
pub(crate) mod release;

use std::path::PathBuf;
use std::time::Duration;

use rustix::io::Errno;

use crate::holder::Holder;
use crate::layout::header::BlockLayout;
use crate::name::{InvalidNameReason, Name};

/// The operation in which a handle gets its token.
pub(crate) const FREE_TOKEN: &str = "find a free token on";
/// The operation that maps the file into the address space.
pub(crate) const MAP: &str = "map";

/// The result of this crate's calls.
pub type Result<T> = std::result::Result<T, Error>;

/// Every error of this crate.
///
/// The display text is one line: the [`message`](Self::message) says what failed, on which lock or
/// path; the [`hint`](Self::hint) says what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The name cannot be a file name. Nothing was opened.
    InvalidName {
        /// The name as given.
        name: String,
        /// Why it is invalid.
        reason: InvalidNameReason,
    },
    /// A poll interval of zero would spin without end.
    ZeroPollInterval,
    /// A description of more than 63 bytes.
    DescriptionTooLong {
        /// Its bytes.
        len: usize,
    },
    /// A mode with bits other than read and write for owner, group and others, or without both for
    /// the owner.
    InvalidMode {
        /// The mode asked for.
        mode: u32,
    },
    /// A system call failed.
    System {
        /// The operation that failed, as a phrase: "create", "map".
        operation: &'static str,
        /// The path.
        path: PathBuf,
        /// The system's reason.
        errno: Errno,
    },
    /// The kernel, the file system or the sandbox lacks something the lock is built on.
    Unsupported {
        /// The missing facility.
        what: &'static str,
        /// The path it was tried on.
        path: PathBuf,
        /// The system's answer, if it gave one.
        errno: Option<Errno>,
    },
    /// The path leads to something that is no lock. It was left alone.
    NotALock {
        /// The path.
        path: PathBuf,
        /// The kind of file that is there.
        found: NotALockReason,
    },
    /// The lock of this name has other data, or none. It was left alone.
    BlockMismatch {
        /// The path.
        path: PathBuf,
        /// Its layout.
        found: BlockLayout,
        /// The layout that the caller wants.
        wanted: BlockLayout,
    },
    /// A schema of more than 39 bytes.
    SchemaTooLong {
        /// Its bytes.
        len: usize,
    },
    /// The file belongs to a user that this handle does not trust. It was left alone.
    ForeignOwner {
        /// The path.
        path: PathBuf,
        /// Its owner's user id.
        uid: u32,
    },
    /// The file gives more access than was asked for. It was left alone.
    ModeTooWide {
        /// The path.
        path: PathBuf,
        /// Its permission bits.
        found: u32,
        /// The widest that was asked for.
        allowed: u32,
    },
    /// The file gives more access than was asked for, and is in use: its removal would make two
    /// locks. It was left alone.
    InUseWithOtherMode {
        /// The path.
        path: PathBuf,
        /// Its permission bits.
        found: u32,
        /// The widest that was asked for.
        allowed: u32,
        /// The holder of the lock, if it is held and could be read.
        holder: Option<Box<Holder>>,
    },
    /// A process that was closing the lock did not finish in time; it is probably stopped
    /// (`SIGSTOP`, a frozen cgroup).
    OpenTimedOut {
        /// The path.
        path: PathBuf,
        /// The time waited.
        waited: Duration,
    },
    /// The lock was not free within the time given.
    TimedOut {
        /// The lock.
        name: String,
        /// The time waited; zero if one try was asked for.
        waited: Duration,
        /// The holder, if it could be read.
        holder: Option<Box<Holder>>,
    },
    /// The exit event was set.
    Cancelled {
        /// The lock.
        name: String,
        /// The holder, if it could be read.
        holder: Option<Box<Holder>>,
    },
    /// The interrupt callback ended the wait. Only for handles with
    /// [`Builder::interrupt`](crate::Builder::interrupt).
    Interrupted {
        /// The lock.
        name: String,
        /// The holder, if it could be read.
        holder: Option<Box<Holder>>,
    },
    /// This thread holds the lock by another handle, or is inside a call on this handle: waiting
    /// would never end.
    WouldDeadlock {
        /// The lock.
        name: String,
    },
    /// An owner died, or panicked, in its critical section, and the protected data has not been
    /// declared consistent since. Only for handles with
    /// [`Builder::poisoning`](crate::Builder::poisoning). Nothing was acquired.
    Poisoned {
        /// The lock.
        name: String,
        /// The dead owner, if this call recovered the lock from it.
        dead: Option<Box<Holder>>,
    },
    /// The handle holds the lock already, perhaps by another task.
    AlreadyHeld {
        /// The lock.
        name: String,
    },
    /// The file was removed: the next to open the name gets another lock.
    Orphaned {
        /// The lock.
        name: String,
        /// Where its file was.
        path: PathBuf,
    },
    /// The handle belongs to the parent of this process, which is not disturbed: fork copied it.
    ForkedHandle {
        /// The lock.
        name: String,
    },
    /// Released, or declared consistent, by a handle that does not hold the lock.
    NotHeld {
        /// The lock.
        name: String,
    },
    /// `release` was called while only guards hold the lock.
    GuardsAlive {
        /// The lock.
        name: String,
        /// The number of guards.
        guards: u32,
    },
    /// The handle is nested deeper than its counter reaches.
    NestingTooDeep {
        /// The lock.
        name: String,
    },
    /// The owner word no longer names the handle that held the lock: an exit handler has released
    /// it, or another program has written to the file. Nothing is acquired, and nothing is
    /// released.
    Overwritten {
        /// The lock.
        name: String,
        /// Its file.
        path: PathBuf,
    },
}

/// The kind of file at a path that leads to no lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotALockReason {
    /// A symbolic link; links are not followed.
    Symlink,
    /// A second name of a file that is no lock; the file may belong to any program.
    HardLink,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character or block device.
    Device,
    /// A removed file that the name leads to all the same: it is mounted there (`mount --bind` of a
    /// file).
    Removed,
    /// A file of the wrong size.
    Size {
        /// Its bytes.
        bytes: u64,
    },
    /// A file of the right size with other content.
    Magic {
        /// The word at offset 8.
        word: u32,
    },
    /// A lock of another layout version.
    Version {
        /// Its version.
        version: u8,
    },
}

impl Error {
    /// Returns `true` if the lock was not free within the time given; a time of zero included.
    #[must_use]
    pub const fn is_timed_out(&self) -> bool {
        matches!(self, Self::TimedOut { .. })
    }

    /// Returns `true` if an exit event ended the wait.
    #[must_use]
    pub const fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled { .. })
    }

    /// Returns `true` if the interrupt callback ended the wait.
    #[must_use]
    pub const fn is_interrupted(&self) -> bool {
        matches!(self, Self::Interrupted { .. })
    }

    /// Returns `true` if an owner's death or panic may have left the protected data half-written.
    #[must_use]
    pub const fn is_poisoned(&self) -> bool {
        matches!(self, Self::Poisoned { .. })
    }

    /// Returns the holder that kept the lock from the caller, if there is one and it could be read.
    #[must_use]
    pub fn holder(&self) -> Option<&Holder> {
        match self {
            Self::TimedOut { holder, .. }
            | Self::Cancelled { holder, .. }
            | Self::Interrupted { holder, .. }
            | Self::InUseWithOtherMode { holder, .. } => holder.as_deref(),
            _ => None,
        }
    }

    /// Returns the errno of the system call that failed, if one did.
    #[must_use]
    pub const fn errno(&self) -> Option<Errno> {
        match self {
            Self::System { errno, .. } => Some(*errno),
            Self::Unsupported { errno, .. } => *errno,
            _ => None,
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::System { errno, .. } | Self::Unsupported { errno: Some(errno), .. } => {
                Some(errno)
            }
            _ => None,
        }
    }
}

/// Checks a name.
pub(crate) fn check_name(name: &str) -> Result<Name> {
    Name::new(name).map_err(|reason| Error::InvalidName { name: name.to_owned(), reason })
}
