//! The texts of the errors: what happened, to what, and what to do about it, on one line each.

use std::fmt;
use std::time::Duration;

use rustix::io::Errno;
use shmlock_core::layout::{DESCRIPTION_MAX, LAYOUT_VERSION};

use super::{Error, FREE_TOKEN, MAP, NotALockReason};
use crate::holder::Holder;
use crate::layout::header::{DATA_OFFSET, SCHEMA_MAX};
use crate::name::InvalidNameReason;
use crate::name::{NAME_MAX, SUFFIX};
use crate::sys::user_map::is_overflow_user;

impl fmt::Display for InvalidNameReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty; give it at least one character"),
            Self::Slash => f.write_str(
                "it contains '/'; a name is not a path, use Builder::directory for another place",
            ),
            Self::Nul => f.write_str("it contains a NUL byte; remove it"),
            Self::Dots => f.write_str("'.' and '..' are directories; choose another"),
            Self::TooLong { len } => {
                write!(
                    f,
                    "it has {len} bytes; with the suffix {SUFFIX} at most {NAME_MAX} fit into a file name"
                )
            }
        }
    }
}

impl fmt::Display for NotALockReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Symlink => f.write_str("a symbolic link, which is not followed"),
            Self::HardLink => f.write_str("a second name of a file that is no lock yet"),
            Self::Directory => f.write_str("a directory"),
            Self::Fifo => f.write_str("a named pipe"),
            Self::Socket => f.write_str("a socket"),
            Self::Device => f.write_str("a device"),
            Self::Removed => f.write_str("a removed file that is still mounted there"),
            Self::Size { bytes } => {
                let how = if *bytes < DATA_OFFSET as u64 { "too short" } else { "too long" };
                write!(
                    f,
                    "a file that is {how} ({bytes} bytes, a lock without data has {DATA_OFFSET})"
                )
            }
            Self::Magic { word } => {
                write!(f, "a file with other content (magic word {word:#010x})")
            }
            Self::Version { version } => {
                let age = if *version > LAYOUT_VERSION { "newer" } else { "older" };
                write!(f, "a lock of the {age} layout version {version} (ours is {LAYOUT_VERSION})")
            }
        }
    }
}

impl NotALockReason {
    /// What to do about it.
    fn remedy(self) -> &'static str {
        match self {
            Self::Removed => {
                "mount the directory of the file instead, or remove it and choose another name"
            }
            // May be in use: to remove it then would make two locks.
            Self::Version { .. } | Self::Size { .. } => {
                "make sure that nobody uses it (fuser(1)), then remove it or choose another name"
            }
            _ => "remove it or choose another name",
        }
    }
}

/// What to do about an errno, where its own text does not say it.
fn remedy(operation: &str, errno: Errno) -> &'static str {
    match errno {
        Errno::ACCESS | Errno::PERM | Errno::NOSYS | Errno::INVAL if operation == MAP => {
            "; the sandbox has to allow mmap(2), and madvise(2) with MADV_DONTFORK"
        }
        Errno::NOENT => {
            "; is the directory there? /dev/shm needs a mounted tmpfs, or choose one with Builder::directory"
        }
        Errno::ROFS => "; mount it writable, or choose a directory with Builder::directory",
        Errno::NOSPC | Errno::DQUOT => "; free space or inodes there",
        Errno::FBIG => "; raise the limit on file sizes (ulimit -f, RLIMIT_FSIZE)",
        Errno::MFILE => {
            "; close descriptors or raise RLIMIT_NOFILE: a handle needs one, opening it two"
        }
        Errno::NFILE => "; the whole system is out of descriptors",
        Errno::NOMEM => "; free memory, or raise the limit of the process or its cgroup",
        Errno::ACCESS | Errno::PERM => {
            "; run as its owner, or share the lock by Builder::mode with a common group, in a directory of that group of mode \
             2770 (elsewhere, as in /dev/shm, a new file has its maker's own group)"
        }
        Errno::AGAIN if operation == FREE_TOKEN => {
            "; another process holds byte locks on the whole file, see lslocks(8)"
        }
        Errno::AGAIN => {
            "; end threads, or raise the limit on them (RLIMIT_NPROC, pids.max of the cgroup)"
        }
        Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL => {
            "; put the lock on a local tmpfs (Builder::directory)"
        }
        _ => "",
    }
}

/// A time for people: its first two digits, without a zero at the end.
struct Roughly(Duration);

impl fmt::Display for Roughly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let mut step = 1;
        while nanos / step >= 100 {
            step *= 10;
        }
        let cut = u64::try_from(nanos / step * step).unwrap_or(u64::MAX);
        // From a minute on, seconds are as exact as two digits of them; and people count them.
        let shown = if self.0.as_secs() >= 60 {
            Duration::from_secs(self.0.as_secs())
        } else {
            Duration::from_nanos(cut)
        };
        write!(f, "{shown:?}")
    }
}

/// A path on one line: control characters in it do not get to a terminal.
struct Shown<'a>(&'a std::path::Path);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.to_string_lossy().chars().try_for_each(|char| {
            if char.is_control() {
                write!(f, "{}", char.escape_default())
            } else {
                write!(f, "{char}")
            }
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

struct InUse<'a>(Option<&'a Holder>);

impl fmt::Display for InUse<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(holder) => write!(f, "held by {holder}"),
            None => f.write_str("in use"),
        }
    }
}

/// What the system answered, if it did.
struct Answered(Option<Errno>);

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |errno| write!(f, " ({errno})"))
    }
}

impl fmt::Display for Error {
    #[allow(clippy::too_many_lines, reason = "one line of text for each error")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidName { name, reason } => {
                let shown: String = name.chars().take(40).collect();
                write!(f, "{shown:?} cannot be the name of a lock: {reason}")
            }
            Self::ZeroPollInterval => f.write_str(
                "a poll interval of zero would spin without end; use at least a microsecond",
            ),
            Self::DescriptionTooLong { len } => {
                write!(f, "the description has {len} bytes; shorten it to {DESCRIPTION_MAX}")
            }
            Self::InvalidMode { mode } => write!(
                f,
                "mode {mode:#o} does not fit a lock; give the owner 0o600 and others read and write together or nothing"
            ),
            Self::System { operation, path, errno } => {
                write!(
                    f,
                    "cannot {operation} {}: {errno}{}",
                    Shown(path),
                    remedy(operation, *errno)
                )
            }
            Self::Unsupported { what, path, errno } => write!(
                f,
                "{what} is not to be had on {}{}; put the lock on a local tmpfs of Linux 4.14 or later",
                Shown(path),
                Answered(*errno)
            ),
            Self::NotALock { path, found } => {
                write!(f, "{} is {found}; it was left alone, {}", Shown(path), found.remedy())
            }
            Self::BlockMismatch { path, found, wanted } => write!(
                f,
                "{} is {found}, and not {wanted}; give all its users one type and one schema, or choose another name",
                Shown(path)
            ),
            Self::SchemaTooLong { len } => {
                write!(f, "the schema has {len} bytes; shorten it to {SCHEMA_MAX}")
            }
            Self::ForeignOwner { path, uid } => write!(
                f,
                "{} belongs to user {uid}{}; if that is right, say so by Builder::trust_owner or share by Builder::mode",
                Shown(path),
                if is_overflow_user(*uid) {
                    ", as every user is shown that has no number here (user_namespaces(7))"
                } else {
                    ""
                }
            ),
            Self::ModeTooWide { path, found, allowed } => write!(
                f,
                "{} has mode {found:#o}, wider than the {allowed:#o} asked for; ask for that mode or remove the file",
                Shown(path)
            ),
            Self::InUseWithOtherMode { path, found, allowed, holder } => write!(
                f,
                "{} has mode {found:#o}, wider than the {allowed:#o} asked for, and is {}; \
                 ask for that mode (Builder::mode), or end all its users first: its removal makes two locks",
                Shown(path),
                InUse(holder.as_deref())
            ),
            Self::OpenTimedOut { path, waited } => write!(
                f,
                "somebody has been closing {} for {}; continue or kill the stopped process (see fuser {0})",
                Shown(path),
                Roughly(*waited)
            ),
            Self::WouldBlock { name, holder } => {
                write!(
                    f,
                    "lock {name:?} is not free: {}; wait for it or try later",
                    HeldBy(holder.as_deref())
                )
            }
            Self::TimedOut { name, waited, holder } => write!(
                f,
                "lock {name:?} was not free within {}: {}; wait longer or see what the holder does",
                Roughly(*waited),
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
            Self::NotHeld { name } => {
                write!(f, "lock {name:?} is not held by this handle; acquire it first")
            }
            Self::GuardsAlive { name, guards } => {
                write!(
                    f,
                    "lock {name:?} is held by {guards} guard(s) only; drop them, or use force_release"
                )
            }
            Self::NestingTooDeep { name } => {
                write!(
                    f,
                    "lock {name:?} is nested too deeply in this handle; release it more often"
                )
            }
            Self::Overwritten { name, path } => write!(
                f,
                "the owner word of lock {name:?} was overwritten while we held it, unless an exit handler released it; \
                 find out which other program writes to {}",
                Shown(path)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use rustix::io::Errno;

    use super::{Error, FREE_TOKEN, MAP, Roughly};

    #[test]
    fn a_time_is_told_as_exactly_as_people_want_it() {
        let told = |time| Roughly(time).to_string();
        for (time, expected) in [
            (Duration::ZERO, "0ns"),
            (Duration::from_micros(50_103), "50ms"),
            (Duration::from_millis(300), "300ms"),
            (Duration::from_micros(1_000_300), "1s"),
            (Duration::from_micros(1_512_345), "1.5s"),
            (Duration::from_millis(5_001), "5s"),
            (Duration::from_millis(59_999), "59s"),
            (Duration::from_millis(123_456), "123s"),
        ] {
            assert_eq!(told(time), expected, "{time:?}");
        }
        assert!(told(Duration::MAX).ends_with('s'));
    }

    #[test]
    fn the_advice_belongs_to_what_was_done() {
        let text = |operation, errno| {
            Error::System { operation, path: PathBuf::from("/x"), errno }.to_string()
        };
        assert!(text(FREE_TOKEN, Errno::AGAIN).contains("lslocks(8)"));
        let map = text(MAP, Errno::PERM);
        assert!(map.contains("MADV_DONTFORK") && !map.contains("Builder::mode"), "{map}");
        let thread = text("start a thread that waits for", Errno::AGAIN);
        assert!(thread.contains("RLIMIT_NPROC") && !thread.contains("locks"), "{thread}");
    }
}
