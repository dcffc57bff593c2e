//! Says what to do about an error, apart from what happened.

use std::time::Duration;

use rustix::io::Errno;

use super::{Error, FREE_TOKEN, MAP, NotALockReason};
use crate::name::InvalidNameReason;

impl Error {
    /// Returns what to do about the error, in the names of this library; `None` if the error says
    /// all there is to say.
    ///
    /// The display text ends with it. A program with an interface of its own shows
    /// [`message`](Self::message) and, for the hint, words of its own: options, say, in place of
    /// the builder's methods.
    ///
    /// # Examples
    /// ```
    /// use shmlock::ShmLock;
    ///
    /// let error = ShmLock::open("").unwrap_err();
    /// assert_eq!(error.message().to_string(), "\"\" cannot be the name of a lock: it is empty");
    /// assert_eq!(error.hint(), Some("give it at least one character"));
    /// ```
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::InvalidName { reason, .. } => reason.hint(),
            Self::ZeroPollInterval => "use at least a microsecond",
            Self::DescriptionTooLong { .. } => "shorten it to 63 bytes",
            Self::InvalidMode { .. } => {
                "give the owner 0o600 and others read and write together or nothing"
            }
            Self::System { operation, errno, .. } => return of_system(operation, *errno),
            Self::Unsupported { .. } => "put the lock on a local tmpfs of Linux 4.14 or later",
            Self::NotALock { found, .. } => found.hint(),
            Self::BlockMismatch { .. } => {
                "give all its users one type and one schema, or choose another name"
            }
            Self::SchemaTooLong { .. } => "shorten it to 39 bytes",
            Self::ForeignOwner { .. } => {
                "if that is right, say so by Builder::trust_owner or share by Builder::mode"
            }
            Self::ModeTooWide { .. } => "ask for that mode or remove the file",
            Self::InUseWithOtherMode { .. } => {
                "ask for that mode (Builder::mode), or end all its users first: \
                 its removal makes two locks"
            }
            Self::OpenTimedOut { .. } => "continue or kill the stopped process (see fuser(1))",
            Self::TimedOut { waited: Duration::ZERO, .. } => "wait for it or try later",
            Self::TimedOut { .. } => "wait longer or see what the holder does",
            Self::Cancelled { .. } => "clear the event to wait again",
            Self::Interrupted { .. } => "handle what it has noticed, then wait again",
            Self::WouldDeadlock { .. } => "release that first or nest by the same handle",
            Self::Poisoned { .. } => {
                "check and repair the data by a handle without Builder::poisoning, and call \
                 declare_consistent"
            }
            Self::AlreadyHeld { .. } => "give each task a handle of its own (try_clone)",
            Self::Orphaned { .. } => {
                "stop all users and open again (see RemoveIPC= in logind.conf(5))"
            }
            Self::ForkedHandle { .. } => "open the name again in the child",
            Self::NotHeld { .. } => "acquire it first",
            Self::GuardsAlive { .. } => "drop them, or use force_release",
            Self::NestingTooDeep { .. } => "release it more often",
            Self::Overwritten { .. } => "find out which other program writes to the file",
        })
    }
}

impl InvalidNameReason {
    fn hint(self) -> &'static str {
        match self {
            Self::Empty => "give it at least one character",
            Self::Slash => "a name is not a path, use Builder::directory for another place",
            Self::Nul => "remove it",
            Self::Dots => "choose another",
            Self::TooLong { .. } => "choose a shorter one",
        }
    }
}

impl NotALockReason {
    fn hint(self) -> &'static str {
        match self {
            Self::Removed => {
                "mount the directory of the file instead, or remove it and choose another name"
            }
            // May be in use: its removal would make two locks then.
            Self::Version { .. } | Self::Size { .. } => {
                "make sure that no process uses it (fuser(1)), then remove it or choose another \
                 name"
            }
            Self::Symlink
            | Self::HardLink
            | Self::Directory
            | Self::Fifo
            | Self::Socket
            | Self::Device
            | Self::Magic { .. } => "remove it or choose another name",
        }
    }
}

/// Returns what to do about an errno, where its own text does not say it.
fn of_system(operation: &str, errno: Errno) -> Option<&'static str> {
    Some(match errno {
        Errno::ACCESS | Errno::PERM | Errno::NOSYS | Errno::INVAL if operation == MAP => {
            "the sandbox has to allow mmap(2), and madvise(2) with MADV_DONTFORK"
        }
        Errno::NOENT => {
            "is the directory there? /dev/shm needs a mounted tmpfs, \
             or choose one with Builder::directory"
        }
        Errno::ROFS => "mount it writable, or choose a directory with Builder::directory",
        Errno::NOSPC | Errno::DQUOT => "free space or inodes there",
        Errno::FBIG => "raise the limit on file sizes (ulimit -f, RLIMIT_FSIZE)",
        Errno::MFILE => {
            "close descriptors or raise RLIMIT_NOFILE: a handle needs one, opening it two"
        }
        Errno::NFILE => "the whole system is out of descriptors",
        Errno::NOMEM => "free memory, or raise the limit of the process or its cgroup",
        Errno::ACCESS | Errno::PERM => {
            "run as its owner, or share the lock by Builder::mode with a common group, in a \
             directory of that group of mode 2770 (elsewhere, as in /dev/shm, a new file has its \
             maker's own group)"
        }
        Errno::AGAIN if operation == FREE_TOKEN => {
            "another process holds byte locks on the whole file, see lslocks(8)"
        }
        Errno::AGAIN => {
            "end threads, or raise the limit on them (RLIMIT_NPROC, pids.max of the cgroup)"
        }
        Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL => {
            "put the lock on a local tmpfs (Builder::directory)"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use rustix::io::Errno;
    use shmlock_core::layout::DESCRIPTION_MAX;

    use super::{Error, FREE_TOKEN, MAP};
    use crate::layout::header::SCHEMA_MAX;

    fn system(operation: &'static str, errno: Errno) -> Error {
        Error::System { operation, path: PathBuf::from("/x"), errno }
    }

    #[test]
    fn a_hint_belongs_to_the_operation_that_failed() {
        let hint = |operation, errno| system(operation, errno).hint().expect("a hint");
        assert!(hint(FREE_TOKEN, Errno::AGAIN).contains("lslocks(8)"));
        let map = hint(MAP, Errno::PERM);
        assert!(map.contains("MADV_DONTFORK") && !map.contains("Builder::mode"), "{map}");
        let thread = hint("start a thread that waits for", Errno::AGAIN);
        assert!(thread.contains("RLIMIT_NPROC") && !thread.contains("locks"), "{thread}");
    }

    #[test]
    fn the_display_text_is_the_message_and_then_the_hint() {
        let with = system("open", Errno::NFILE);
        let (message, hint) = (with.message().to_string(), with.hint().expect("a hint"));
        assert_eq!(with.to_string(), format!("{message}; {hint}"));
        assert!(!message.contains(hint), "{message}");
        let without = system("open", Errno::IO);
        assert_eq!(without.hint(), None);
        assert_eq!(without.to_string(), without.message().to_string());
    }

    #[test]
    fn a_text_that_is_too_long_has_the_limit_in_its_hint() {
        let hint = |error: Error| error.hint().expect("a hint");
        let limit = |bytes: usize| format!("shorten it to {bytes} bytes");
        assert_eq!(hint(Error::DescriptionTooLong { len: 64 }), limit(DESCRIPTION_MAX));
        assert_eq!(hint(Error::SchemaTooLong { len: 40 }), limit(SCHEMA_MAX));
    }
}
