//! The lock of the Python package in its old form: a segment `/dev/shm/<name>`, which exists while
//! the lock is held. For the interoperation mode.
//!
//! A process in that mode acquires its own lock first, and makes the segment then. It removes the
//! segment before it releases its own lock. So a segment of this kind exists only while its maker
//! holds the lock. The next owner of the lock finds one only if its maker died, and removes it.
//!
//! The old form has 16 bytes, the owner's uuid. Ours has a mark behind them, by which a leftover is
//! known. Readers of the old form read the first 16 bytes only.

use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, lstat, open, unlink};
use rustix::io::{Errno, read, write};
use rustix::thread::{NanosleepRelativeResult, nanosleep};
use rustix::time::Timespec;

const DIRECTORY: &str = "/dev/shm";
/// The bytes of the old form.
const UUID: usize = 16;
/// What follows them in ours.
const MARK: [u8; UUID] = *b"\0shmlock-interop";

/// A segment that this process has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    device: u64,
    inode: u64,
}

/// What is at the path of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    /// One of this form; its maker's uuid.
    Ours([u8; UUID]),
    /// One of the old form, or another file.
    Other,
}

/// Returns the path of the segment of this name.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(name)
}

/// Looks at the segment. Changes nothing.
///
/// # Errors
/// Those of open(2) and read(2).
pub(crate) fn look(path: &Path) -> Result<Found, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match open(path, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(Found::Nothing),
        Err(Errno::LOOP | Errno::NXIO | Errno::ACCESS) => return Ok(Found::Other),
        Err(errno) => return Err(errno),
    };
    let mut bytes = [0; 2 * UUID + 1];
    let Ok(len) = read(&file, &mut bytes) else { return Ok(Found::Other) };
    match bytes.split_first_chunk::<UUID>() {
        Some((uuid, rest)) if len == 2 * UUID && rest.starts_with(&MARK) => Ok(Found::Ours(*uuid)),
        _ => Ok(Found::Other),
    }
}

/// Makes the segment, complete from its first moment. Returns `None` if the path is taken.
///
/// A leftover of this form is removed: the caller holds the lock, so its maker is dead. Never
/// blocks.
///
/// # Errors
/// Those of open(2), write(2) and link(2).
///
/// # Races
/// Between the look at a leftover and its removal, another program may remove it, and an old-style
/// owner may make its segment: the removal would hit that. No process of this package removes a
/// segment of another owner.
pub(crate) fn make(path: &Path, uuid: [u8; UUID]) -> Result<Option<Made>, Errno> {
    if let Some(made) = make_once(path, uuid)? {
        return Ok(Some(made));
    }
    match look(path)? {
        Found::Ours(_) => match unlink(path) {
            Ok(()) | Err(Errno::NOENT) => make_once(path, uuid),
            Err(errno) => Err(errno),
        },
        Found::Nothing => make_once(path, uuid),
        Found::Other => Ok(None),
    }
}

fn make_once(path: &Path, uuid: [u8; UUID]) -> Result<Option<Made>, Errno> {
    let mut content = [0; 2 * UUID];
    content[..UUID].copy_from_slice(&uuid);
    content[UUID..].copy_from_slice(&MARK);
    let mode = Mode::RUSR | Mode::WUSR;
    // A file without a name: a process that dies here leaves nothing.
    let nameless = open(DIRECTORY, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, mode);
    if let Ok(file) = nameless {
        let is_whole = write(&file, &content)? == content.len();
        let link = CString::new(format!("/proc/self/fd/{}", raw(&file)));
        if let (true, Ok(link)) = (is_whole, link) {
            match linkat(CWD, &*link, CWD, path, AtFlags::SYMLINK_FOLLOW) {
                Ok(()) => return made(&file).map(Some),
                Err(Errno::EXIST) => return Ok(None),
                Err(_) => {} // no /proc
            }
        }
    }
    // *If we die before the write:* an empty segment is left, as of an old-style owner.
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    match open(path, flags, mode) {
        Ok(file) => {
            write(&file, &content)?;
            made(&file).map(Some)
        }
        Err(Errno::EXIST) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn raw(file: &rustix::fd::OwnedFd) -> i32 {
    use std::os::fd::AsRawFd;
    file.as_raw_fd()
}

#[allow(clippy::unnecessary_cast, clippy::useless_conversion, reason = "the width varies")]
fn made(file: &rustix::fd::OwnedFd) -> Result<Made, Errno> {
    let stat = rustix::fs::fstat(file)?;
    Ok(Made { device: stat.st_dev.into(), inode: stat.st_ino.into() })
}

/// Removes the segment, unless another one has taken its place. Never blocks.
#[allow(clippy::useless_conversion, reason = "the width varies")]
pub(crate) fn remove(path: &Path, made: Made) {
    let found =
        lstat(path).map(|stat| Made { device: stat.st_dev.into(), inode: stat.st_ino.into() });
    if found == Ok(made) {
        // It cannot fail in a way that helps a caller: the name is ours, or is gone.
        let _ = unlink(path);
    }
}

/// Makes the segment as soon as its path is free, until `end` at most. Looks again after a
/// millisecond, and then ever more rarely, at most once in `interval`. A signal ends it as well.
///
/// # Errors
/// Those of [`make`].
pub(crate) fn make_until(
    path: &Path,
    uuid: [u8; UUID],
    end: Instant,
    interval: Duration,
) -> Result<Option<Made>, Errno> {
    let mut pause = Duration::from_millis(1).min(interval);
    loop {
        if let Some(made) = make(path, uuid)? {
            return Ok(Some(made));
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || !slept(pause.min(left)) {
            return Ok(None);
        }
        pause = (2 * pause).min(interval);
    }
}

/// Sleeps. Returns `false` if a signal has ended the sleep.
pub(crate) fn slept(time: Duration) -> bool {
    let request = Timespec {
        tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    };
    matches!(nanosleep(&request), NanosleepRelativeResult::Ok)
}
