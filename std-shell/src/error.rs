//! What can go wrong, each with the lock it concerns, the system's own word for it, and what to do.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use rustix::io::Errno;
use shmlock_core::layout::{DESCRIPTION_MAX, LAYOUT_VERSION};

use crate::header::{BlockShape, DATA_OFFSET, SCHEMA_MAX};
use crate::inspect::Holder;
use crate::name::{NAME_MAX, SUFFIX};

/// The result of this crate's calls.
pub type Result<T> = std::result::Result<T, Error>;

/// Every error of this crate.
///
/// The display text is one line: what failed, on which lock or path, and what to do about it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The name cannot be a file name. Nothing was opened.
    InvalidName {
        /// The name as given.
        name: String,
        /// What is wrong with it.
        reason: NameProblem,
    },
    /// A poll interval of zero would spin without end.
    ZeroPollInterval,
    /// A description of more than 63 bytes.
    DescriptionTooLong {
        /// Its bytes.
        len: usize,
    },
    /// A mode with bits other than read and write for owner, group and others, or without both for the owner.
    InvalidMode {
        /// The mode asked for.
        mode: u32,
    },
    /// A system call failed.
    System {
        /// What was being done, as a phrase: "create the file".
        operation: &'static str,
        /// The path it concerned.
        path: PathBuf,
        /// The system's reason.
        errno: Errno,
    },
    /// The kernel, the file system or the sandbox lacks something the lock is built on.
    Unsupported {
        /// What is missing.
        what: &'static str,
        /// The path it was tried on.
        path: PathBuf,
        /// The system's answer, if it gave one.
        errno: Option<Errno>,
    },
    /// Something that is not ours stands at the path. It was left alone.
    NotALock {
        /// The path.
        path: PathBuf,
        /// What stands there.
        found: Found,
    },
    /// The name is that of a lock with other data, or with none. It was left alone.
    OtherBlock {
        /// The path.
        path: PathBuf,
        /// What stands there.
        found: BlockShape,
        /// What was asked for.
        wanted: BlockShape,
    },
    /// A schema of more than 39 bytes.
    SchemaTooLong {
        /// Its bytes.
        len: usize,
    },
    /// The file belongs to a user whom we have no reason to trust. It was left alone.
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
    /// Somebody who was closing the lock did not finish in time; it is probably stopped (`SIGSTOP`, a frozen cgroup).
    OpenTimedOut {
        /// The path.
        path: PathBuf,
        /// How long was waited.
        waited: Duration,
    },
    /// The lock is held, and waiting was not wanted.
    WouldBlock {
        /// The lock.
        name: String,
        /// Who holds it, if it could be read.
        holder: Option<Box<Holder>>,
    },
    /// The lock was not free within the time given.
    TimedOut {
        /// The lock.
        name: String,
        /// How long was waited.
        waited: Duration,
        /// Who holds it, if it could be read.
        holder: Option<Box<Holder>>,
    },
    /// The exit event was set.
    Cancelled {
        /// The lock.
        name: String,
        /// Who holds it, if it could be read.
        holder: Option<Box<Holder>>,
    },
    /// This thread holds the lock by another handle, or is inside a call on this handle: waiting would never end.
    WouldDeadlock {
        /// The lock.
        name: String,
    },
    /// The handle holds the lock already, perhaps by another task.
    AlreadyHeld {
        /// The lock.
        name: String,
    },
    /// The file was removed: whoever opens the name now gets another lock.
    Orphaned {
        /// The lock.
        name: String,
        /// Where its file was.
        path: PathBuf,
    },
    /// The handle was inherited by a fork. It belongs to the parent, which is not disturbed.
    ForkedHandle {
        /// The lock.
        name: String,
    },
    /// Released, or declared consistent, by a handle that does not hold the lock.
    NotHeld {
        /// The lock.
        name: String,
    },
    /// Released by hand while only guards hold the lock.
    GuardsAlive {
        /// The lock.
        name: String,
        /// How many guards live.
        guards: u32,
    },
    /// The handle is nested deeper than its counter reaches.
    TooDeep {
        /// The lock.
        name: String,
    },
    /// The owner word no longer names the handle that held the lock: an exit handler has released it, or a stranger has
    /// written to the file. Nothing is acquired, and nothing is released.
    Overwritten {
        /// The lock.
        name: String,
        /// Its file.
        path: PathBuf,
    },
}

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameProblem {
    /// It has no characters.
    Empty,
    /// It contains `/`.
    Slash,
    /// It contains a NUL byte.
    Nul,
    /// It is `.` or `..`.
    Dots,
    /// It is longer than a file name with our suffix may be.
    TooLong {
        /// Its bytes.
        len: usize,
    },
}

/// What stands at the path instead of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// A symbolic link; links are not followed.
    Symlink,
    /// A second name of a file that is no lock; it may be anybody's.
    HardLink,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character or block device.
    Device,
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
    /// Whether the lock was not free within the time given; a time of zero included.
    #[must_use]
    pub const fn is_timed_out(&self) -> bool {
        matches!(self, Self::TimedOut { .. } | Self::WouldBlock { .. })
    }

    /// Whether an exit event ended the wait.
    #[must_use]
    pub const fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled { .. })
    }

    /// Who held the lock when waiting for it ended, if that was the trouble and it could be read.
    #[must_use]
    pub fn holder(&self) -> Option<&Holder> {
        match self {
            Self::WouldBlock { holder, .. } | Self::TimedOut { holder, .. } | Self::Cancelled { holder, .. } => {
                holder.as_deref()
            }
            _ => None,
        }
    }

    /// The system's reason, if a system call failed.
    #[must_use]
    pub const fn errno(&self) -> Option<Errno> {
        match self {
            Self::System { errno, .. } => Some(*errno),
            Self::Unsupported { errno, .. } => *errno,
            _ => None,
        }
    }
}

impl fmt::Display for NameProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty; give it at least one character"),
            Self::Slash => {
                f.write_str("it contains '/'; a name is not a path, use Builder::directory for another place")
            }
            Self::Nul => f.write_str("it contains a NUL byte; remove it"),
            Self::Dots => f.write_str("'.' and '..' are directories; choose another"),
            Self::TooLong { len } => {
                write!(f, "it has {len} bytes; with the suffix {SUFFIX} at most {NAME_MAX} fit into a file name")
            }
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Symlink => f.write_str("a symbolic link, which is not followed"),
            Self::HardLink => f.write_str("a second name of a file that is no lock yet"),
            Self::Directory => f.write_str("a directory"),
            Self::Fifo => f.write_str("a named pipe"),
            Self::Socket => f.write_str("a socket"),
            Self::Device => f.write_str("a device"),
            Self::Size { bytes } => {
                let how = if *bytes < DATA_OFFSET as u64 { "too short" } else { "too long" };
                write!(f, "a file that is {how} ({bytes} bytes, a lock without data has {DATA_OFFSET})")
            }
            Self::Magic { word } => write!(f, "a file with other content (magic word {word:#010x})"),
            Self::Version { version } => {
                let age = if *version > LAYOUT_VERSION { "newer" } else { "older" };
                write!(f, "a lock of the {age} layout version {version} (ours is {LAYOUT_VERSION})")
            }
        }
    }
}

/// What to do about an errno, where its own text does not say it.
fn remedy(errno: Errno) -> &'static str {
    match errno {
        Errno::NOENT => {
            "; is the directory there? /dev/shm needs a mounted tmpfs, or choose one with Builder::directory"
        }
        Errno::ROFS => "; mount it writable, or choose a directory with Builder::directory",
        Errno::NOSPC | Errno::DQUOT => "; free space or inodes there",
        Errno::MFILE => "; close descriptors or raise RLIMIT_NOFILE: a handle needs one, opening it two",
        Errno::NFILE => "; the whole system is out of descriptors",
        Errno::ACCESS | Errno::PERM => "; share the lock by Builder::mode and a common group, or run as its owner",
        Errno::AGAIN => "; another process holds byte locks on the whole file, see lslocks(8)",
        _ => "",
    }
}

/// A path on one line: control characters in it do not get to a terminal.
struct Shown<'a>(&'a std::path::Path);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.to_string_lossy().chars().try_for_each(|char| {
            if char.is_control() { write!(f, "{}", char.escape_default()) } else { write!(f, "{char}") }
        })
    }
}

struct HeldBy<'a>(Option<&'a Holder>);

impl fmt::Display for HeldBy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(holder) => write!(f, "held by {holder}"),
            None => f.write_str("it was free or changing hands at that moment"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidName { name, reason } => {
                let shown: String = name.chars().take(40).collect();
                write!(f, "{shown:?} cannot be the name of a lock: {reason}")
            }
            Self::ZeroPollInterval => {
                f.write_str("a poll interval of zero would spin without end; use at least a microsecond")
            }
            Self::DescriptionTooLong { len } => {
                write!(f, "the description has {len} bytes; shorten it to {DESCRIPTION_MAX}")
            }
            Self::InvalidMode { mode } => write!(
                f,
                "mode {mode:#o} does not fit a lock; give the owner 0o600 and others read and write together or nothing"
            ),
            Self::System { operation, path, errno } => {
                write!(f, "cannot {operation} {}: {errno}{}", Shown(path), remedy(*errno))
            }
            Self::Unsupported { what, path, errno } => {
                write!(f, "{what} is not to be had on {}", Shown(path))?;
                if let Some(errno) = errno {
                    write!(f, " ({errno})")?;
                }
                f.write_str("; put the lock on a local tmpfs of Linux 4.14 or later")
            }
            Self::NotALock { path, found } => {
                write!(f, "{} is {found}; it was left alone, remove it or choose another name", Shown(path))
            }
            Self::OtherBlock { path, found, wanted } => write!(
                f,
                "{} is {found}, and not {wanted}; give all its users one type and one schema, or choose another name",
                Shown(path)
            ),
            Self::SchemaTooLong { len } => write!(f, "the schema has {len} bytes; shorten it to {SCHEMA_MAX}"),
            Self::ForeignOwner { path, uid } => write!(
                f,
                "{} belongs to user {uid}; if that is right, say so by Builder::trust_owner or share by Builder::mode",
                Shown(path)
            ),
            Self::ModeTooWide { path, found, allowed } => write!(
                f,
                "{} has mode {found:#o}, wider than the {allowed:#o} asked for; ask for that mode or remove the file",
                Shown(path)
            ),
            Self::OpenTimedOut { path, waited } => write!(
                f,
                "somebody has been closing {} for {waited:.1?}; continue or kill the stopped process (see fuser {0})",
                Shown(path)
            ),
            Self::WouldBlock { name, holder } => {
                write!(f, "lock {name:?} is not free: {}; wait for it or try later", HeldBy(holder.as_deref()))
            }
            Self::TimedOut { name, waited, holder } => write!(
                f,
                "lock {name:?} was not free within {waited:.1?}: {}; wait longer or see what the holder does",
                HeldBy(holder.as_deref())
            ),
            Self::Cancelled { name, holder } => write!(
                f,
                "waiting for lock {name:?} was ended by its exit event ({}); clear the event to wait again",
                HeldBy(holder.as_deref())
            ),
            Self::WouldDeadlock { name } => write!(
                f,
                "this thread holds lock {name:?} already by another handle, or is inside a call on this one; \
                 release that first or nest by the same handle"
            ),
            Self::AlreadyHeld { name } => write!(
                f,
                "this handle holds lock {name:?} already, perhaps by another task; give each task a handle of its own \
                 (try_clone)"
            ),
            Self::Orphaned { name, path } => write!(
                f,
                "the file of lock {name:?}, {}, was removed while in use: others may hold a new lock of that name; \
                 stop all users and open again (see RemoveIPC= in logind.conf(5))",
                Shown(path)
            ),
            Self::ForkedHandle { name } => {
                write!(
                    f,
                    "this handle of lock {name:?} belongs to the parent process; open the name again in the child"
                )
            }
            Self::NotHeld { name } => write!(f, "lock {name:?} is not held by this handle; acquire it first"),
            Self::GuardsAlive { name, guards } => {
                write!(f, "lock {name:?} is held by {guards} guard(s) only; drop them, or use force_release")
            }
            Self::TooDeep { name } => {
                write!(f, "lock {name:?} is nested too deeply in this handle; release it more often")
            }
            Self::Overwritten { name, path } => write!(
                f,
                "the owner word of lock {name:?} was overwritten while we held it, unless an exit handler released it; \
                 find who else writes to {}",
                Shown(path)
            ),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::System { errno, .. } | Self::Unsupported { errno: Some(errno), .. } => Some(errno),
            _ => None,
        }
    }
}
