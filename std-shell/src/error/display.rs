//! Displays the errors: one line each about what happened, and to what.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use shmlock_core::layout::{EPOCH_VERSION, LAYOUT_VERSION};

use super::{Error, NotALockReason};
use crate::holder::Holder;
use crate::layout::header::DATA_OFFSET;
use crate::name::InvalidNameReason;
use crate::name::NAME_MAX;
use crate::sys::user_map::is_overflow_user;

impl fmt::Display for InvalidNameReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::Slash => f.write_str("it contains '/'"),
            Self::Nul => f.write_str("it contains a NUL byte"),
            Self::Dots => f.write_str("'.' and '..' are directories"),
            Self::TooLong { len } => write!(f, "it has {len} bytes; a name has at most {NAME_MAX}"),
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
            Self::Version { version: EPOCH_VERSION } => {
                f.write_str("a lock whose tokens are of boots of cores (shmlock-core's `roll`)")
            }
            Self::Version { version } => {
                let age = if *version > LAYOUT_VERSION { "newer" } else { "older" };
                write!(f, "a lock of the {age} layout version {version} (ours is {LAYOUT_VERSION})")
            }
        }
    }
}

/// A time to its first two digits, without a zero at the end.
struct Roughly(Duration);

impl fmt::Display for Roughly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let mut step = 1;
        while nanos / step >= 100 {
            step *= 10;
        }
        let cut = u64::try_from(nanos / step * step).unwrap_or(u64::MAX);
        // From a minute on the text counts whole seconds.
        let shown = if self.0.as_secs() >= 60 {
            Duration::from_secs(self.0.as_secs())
        } else {
            Duration::from_nanos(cut)
        };
        write!(f, "{shown:?}")
    }
}

/// A path on one line: its control characters are escaped, so that no terminal obeys them.
struct Shown<'a>(&'a Path);

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

/// The system's answer, if there is one.
struct Answered(Option<Errno>);

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |errno| write!(f, " ({errno})"))
    }
}

/// What happened, without the hint.
struct Message<'a>(&'a Error);

impl Error {
    /// Returns what happened, and to what, without the [`hint`](Self::hint): one line.
    #[must_use]
    pub fn message(&self) -> impl fmt::Display + '_ {
        Message(self)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Message(self).fmt(f)?;
        self.hint().map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl fmt::Display for Message<'_> {
    #[allow(clippy::too_many_lines, reason = "one line of text for each error")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Error::InvalidName { name, reason } => {
                let shown: String = name.chars().take(40).collect();
                write!(f, "{shown:?} cannot be the name of a lock: {reason}")
            }
            Error::ZeroPollInterval => {
                f.write_str("a poll interval of zero would spin without end")
            }
            Error::DescriptionTooLong { len } => write!(f, "the description has {len} bytes"),
            Error::InvalidMode { mode } => write!(f, "mode {mode:#o} does not fit a lock"),
            Error::System { operation, path, errno } => {
                write!(f, "cannot {operation} {}: {errno}", Shown(path))
            }
            Error::Unsupported { what, path, errno } => {
                write!(f, "{} does not support {what}{}", Shown(path), Answered(*errno))
            }
            Error::NotALock { path, found } => {
                write!(f, "{} is {found}; it was left alone", Shown(path))
            }
            Error::BlockMismatch { path, found, wanted } => {
                write!(f, "{} is {found}, and not {wanted}", Shown(path))
            }
            Error::SchemaTooLong { len } => write!(f, "the schema has {len} bytes"),
            Error::ForeignOwner { path, uid } => {
                let unmapped = if is_overflow_user(*uid) {
                    ", which stands for every user that has no number here (user_namespaces(7))"
                } else {
                    ""
                };
                write!(f, "{} belongs to user {uid}{unmapped}", Shown(path))
            }
            Error::ModeTooWide { path, found, allowed } => {
                write!(
                    f,
                    "{} has mode {found:#o}, wider than the {allowed:#o} asked for",
                    Shown(path)
                )
            }
            Error::InUseWithOtherMode { path, found, allowed, holder } => write!(
                f,
                "{} has mode {found:#o}, wider than the {allowed:#o} asked for, and is {}",
                Shown(path),
                InUse(holder.as_deref())
            ),
            Error::OpenTimedOut { path, waited } => write!(
                f,
                "another process has been closing {} for {}",
                Shown(path),
                Roughly(*waited)
            ),
            Error::TimedOut { name, waited: Duration::ZERO, holder } => {
                write!(f, "lock {name:?} is not free: {}", HeldBy(holder.as_deref()))
            }
            Error::TimedOut { name, waited, holder } => write!(
                f,
                "lock {name:?} was not free within {}: {}",
                Roughly(*waited),
                HeldBy(holder.as_deref())
            ),
            Error::Cancelled { name, holder } => write!(
                f,
                "waiting for lock {name:?} was ended by its exit event ({})",
                HeldBy(holder.as_deref())
            ),
            Error::Interrupted { name, holder } => write!(
                f,
                "waiting for lock {name:?} was ended by its interrupt callback ({})",
                HeldBy(holder.as_deref())
            ),
            Error::WouldDeadlock { name } => write!(
                f,
                "this thread holds lock {name:?} already by another handle, or is inside a call on \
                 this one"
            ),
            Error::Poisoned { name, dead: Some(dead) } => {
                write!(f, "an owner of lock {name:?} died in its critical section: {dead}")
            }
            Error::Poisoned { name, dead: None } => write!(
                f,
                "an owner of lock {name:?} died or panicked in its critical section, and the data \
                 has not been declared consistent since"
            ),
            Error::AlreadyHeld { name } => {
                write!(f, "this handle holds lock {name:?} already, perhaps by another task")
            }
            Error::Orphaned { name, path } => write!(
                f,
                "the file of lock {name:?}, {}, was removed while in use: others may hold a new \
                 lock of that name",
                Shown(path)
            ),
            Error::ForkedHandle { name } => {
                write!(f, "this handle of lock {name:?} belongs to the parent process")
            }
            Error::NotHeld { name } => write!(f, "lock {name:?} is not held by this handle"),
            Error::GuardsAlive { name, guards } => {
                write!(f, "lock {name:?} is held by {guards} guard(s) only")
            }
            Error::NestingTooDeep { name } => {
                write!(f, "lock {name:?} is nested too deeply in this handle")
            }
            Error::Overwritten { name, path } => write!(
                f,
                "the owner word of lock {name:?} in {} was overwritten while this handle held it, \
                 unless an exit handler released it",
                Shown(path)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Roughly;

    #[test]
    fn a_time_has_at_most_two_digits_below_a_minute() {
        let shown = |time| Roughly(time).to_string();
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
            assert_eq!(shown(time), expected, "{time:?}");
        }
        assert!(shown(Duration::MAX).ends_with('s'));
    }
}
