//! Says what to do about the library's errors, in options instead of the library's calls.

use shmlock::{Errno, Error, InvalidNameReason};

/// Returns what happened and what to do, on one line.
pub(crate) fn explain(error: &Error) -> String {
    let message = error.message();
    hint(error).map_or_else(|| message.to_string(), |hint| format!("{message}; {hint}"))
}

fn hint(error: &Error) -> Option<&'static str> {
    Some(match error {
        Error::InvalidName { reason: InvalidNameReason::Slash, .. } => {
            "a name is not a path; give another place by --directory"
        }
        Error::InvalidMode { .. } => {
            "give the owner 600, and group and others read and write together or nothing"
        }
        Error::BlockMismatch { .. } => "use it by the program that made it, or choose another name",
        Error::ForeignOwner { .. } => "if that is right, give --trust-owner, or share it by --mode",
        Error::ModeTooWide { .. } => "give that mode by --mode, or remove the file",
        Error::InUseWithOtherMode { .. } => {
            "give that mode by --mode, or end all its users first: its removal makes two locks"
        }
        Error::Orphaned { .. } => {
            "end all its users and start again (see RemoveIPC= in logind.conf(5))"
        }
        // The sandbox refuses it: neither the file's owner nor its place is the reason.
        Error::System {
            operation: "map",
            errno: Errno::ACCESS | Errno::PERM | Errno::NOSYS | Errno::INVAL,
            ..
        } => return error.hint(),
        Error::System { errno: Errno::NOENT, .. } => {
            "is the directory there? /dev/shm needs a mounted tmpfs; --directory names another"
        }
        Error::System { errno: Errno::ROFS, .. } => {
            "mount it writable, or give another place by --directory"
        }
        Error::System { errno: Errno::ACCESS | Errno::PERM, .. } => {
            "run as its owner, or share the lock by --mode with a common group, in a directory of \
             that group of mode 2770 (elsewhere, as in /dev/shm, a new file has its maker's own \
             group)"
        }
        Error::System { errno: Errno::MFILE, .. } => {
            "close descriptors or raise their limit (ulimit -n)"
        }
        Error::System { errno: Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL, .. } => {
            "put the lock on a local tmpfs by --directory"
        }
        // The library's words fit, or tell of a misuse of handles, which this program does not
        // make.
        _ => return error.hint(),
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use shmlock::NotALockReason;

    use super::*;

    /// One error of each kind that the program can be given, and of System one for each errno.
    fn errors() -> Vec<Error> {
        let (name, path) = (|| "l".to_owned(), || PathBuf::from("/dev/shm/l.shmlock"));
        let (found, allowed, waited) = (0o666, 0o600, Duration::from_secs(1));
        let holder = None;
        let mut all = vec![
            Error::DescriptionTooLong { len: 64 },
            Error::InvalidMode { mode: 0o640 },
            Error::Unsupported { what: "byte locks", path: path(), errno: None },
            Error::ForeignOwner { path: path(), uid: 1 },
            Error::ModeTooWide { path: path(), found, allowed },
            Error::InUseWithOtherMode { path: path(), found, allowed, holder: holder.clone() },
            Error::OpenTimedOut { path: path(), waited },
            Error::TimedOut { name: name(), waited: Duration::ZERO, holder: holder.clone() },
            Error::TimedOut { name: name(), waited, holder: holder.clone() },
            Error::Cancelled { name: name(), holder },
            Error::Orphaned { name: name(), path: path() },
            Error::NotHeld { name: name() },
            Error::Overwritten { name: name(), path: path() },
        ];
        let reasons = [
            InvalidNameReason::Empty,
            InvalidNameReason::Slash,
            InvalidNameReason::Nul,
            InvalidNameReason::Dots,
            InvalidNameReason::TooLong { len: 256 },
        ];
        all.extend(reasons.map(|reason| Error::InvalidName { name: name(), reason }));
        let found = [
            NotALockReason::Symlink,
            NotALockReason::Removed,
            NotALockReason::Size { bytes: 1 },
            NotALockReason::Version { version: 2 },
        ];
        all.extend(found.map(|found| Error::NotALock { path: path(), found }));
        for operation in ["open", "map", "find a free token on"] {
            all.extend((1..134).map(Errno::from_raw_os_error).map(|errno| Error::System {
                operation,
                path: path(),
                errno,
            }));
        }
        all
    }

    #[test]
    fn no_message_names_a_function_of_the_library() {
        for error in errors() {
            let text = explain(&error);
            for word in text.split([' ', ';', ',', ':', '(']) {
                let is_manual_page = || text.contains(&format!("{word}("));
                let is_name = word.contains('_')
                    && word.contains(char::is_lowercase)
                    && !word.starts_with('/')
                    && !is_manual_page();
                assert!(!is_name, "{word:?} in: {text}");
            }
            assert!(!text.contains("::") && !text.contains("Builder"), "{text}");
            assert!(!text.contains(char::is_control), "{text:?}");
        }
    }

    #[test]
    fn a_refused_mapping_is_the_sandboxs_and_no_matter_of_owners() {
        let path = PathBuf::from("/dev/shm/l.shmlock");
        let text = explain(&Error::System { operation: "map", path, errno: Errno::PERM });
        assert!(text.contains("mmap(2)") && !text.contains("--mode"), "{text}");
    }
}
