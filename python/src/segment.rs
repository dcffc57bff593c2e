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

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, RenameFlags, linkat, lstat, open, renameat_with, unlink,
};
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

/// Returns the begin of the segment, at most 16 bytes of it; `None` if there is none. Never blocks,
/// whatever is at the path, and follows no symbolic link.
///
/// # Errors
/// Those of open(2) and read(2).
pub(crate) fn begin(path: &Path) -> Result<Option<Vec<u8>>, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let mut bytes = [0; UUID];
    match open(path, flags, Mode::empty()) {
        Ok(file) => read(&file, &mut bytes).map(|len| Some(bytes[..len].to_vec())),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
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
/// Another program may remove the leftover at any moment, and an old-style owner may make its
/// segment then. So the leftover is not removed, but exchanged: the path is never free meanwhile.
/// What was exchanged is looked at, and put back if it is another owner's.
pub(crate) fn make(path: &Path, uuid: [u8; UUID]) -> Result<Option<Made>, Errno> {
    if let Some(made) = make_once(path, uuid)? {
        return Ok(Some(made));
    }
    match look(path)? {
        Found::Ours(_) => replace(path, uuid),
        Found::Nothing => make_once(path, uuid),
        Found::Other => Ok(None),
    }
}

/// Makes the segment in the place of a leftover.
///
/// *If we die here:* a file of 32 bytes with a name of its own is left, which no process looks for.
/// The path has the leftover, as before, or the segment of another owner.
fn replace(path: &Path, uuid: [u8; UUID]) -> Result<Option<Made>, Errno> {
    let pid = rustix::process::getpid().as_raw_nonzero();
    let name = format!(".shmlock-interop-{pid}-{}", rustix::thread::gettid().as_raw_nonzero());
    let beside = Path::new(DIRECTORY).join(name);
    match unlink(&beside) {
        Ok(()) | Err(Errno::NOENT) => {} // a dead process of our number
        Err(errno) => return Err(errno),
    }
    let Some(made) = make_once(&beside, uuid)? else { return Ok(None) };
    let exchange = || renameat_with(CWD, &beside, CWD, path, RenameFlags::EXCHANGE);
    let made = match exchange() {
        Ok(()) if matches!(look(&beside), Ok(Found::Ours(_))) => Ok(Some(made)),
        // An old-style owner's. If it was released meanwhile, there is nothing to exchange it for.
        Ok(()) => exchange().or_else(not_there).map(|()| None),
        Err(Errno::NOENT) => Ok(None), // the leftover is gone: the caller tries again
        // No file system of Linux at this place lacks it; a sandbox may.
        Err(Errno::INVAL | Errno::NOSYS) => unlink(path).and_then(|()| make_once(path, uuid)),
        Err(errno) => Err(errno),
    };
    let _ = unlink(&beside);
    made
}

fn not_there(errno: Errno) -> Result<(), Errno> {
    if errno == Errno::NOENT { Ok(()) } else { Err(errno) }
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
        Ok(file) => match write(&file, &content) {
            Ok(written) if written == content.len() => made(&file).map(Some),
            written => {
                // No owner would remove it: it must not stay.
                let _ = unlink(path);
                Err(written.err().unwrap_or(Errno::NOSPC))
            }
        },
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

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::{fs, process};

    use super::{Found, look, make, path, remove, replace};

    /// A path that is free before and after a test.
    struct Place(PathBuf);

    impl Place {
        fn new(test: &str) -> Self {
            Self(path(&format!("py-{}-segment-{test}", process::id())))
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    /// What `replace` leaves beside the segments.
    fn beside() -> usize {
        let mine = format!(
            ".shmlock-interop-{}-{}",
            process::id(),
            rustix::thread::gettid().as_raw_nonzero()
        );
        let names = fs::read_dir("/dev/shm").expect("readable").flatten();
        names.filter(|entry| *entry.file_name() == *mine).count()
    }

    #[test]
    fn a_leftover_is_replaced_and_nothing_is_left_beside_it() {
        let place = Place::new("leftover");
        let dead = make(&place.0, [1; 16]).expect("made").expect("free");
        let ours = make(&place.0, [2; 16]).expect("made").expect("a leftover only");
        assert_ne!(dead, ours);
        assert_eq!(look(&place.0), Ok(Found::Ours([2; 16])));
        remove(&place.0, dead);
        assert_eq!(look(&place.0), Ok(Found::Ours([2; 16])), "a dead one's number removes nothing");
        remove(&place.0, ours);
        assert_eq!((look(&place.0), beside()), (Ok(Found::Nothing), 0));
    }

    #[test]
    fn an_old_owner_that_has_come_since_the_look_keeps_its_segment() {
        let place = Place::new("old-owner");
        fs::write(&place.0, [3; 16]).expect("writable");
        let before = rustix::fs::lstat(&place.0).expect("there").st_ino;
        assert_eq!(replace(&place.0, [2; 16]), Ok(None));
        assert_eq!(rustix::fs::lstat(&place.0).expect("there").st_ino, before);
        assert_eq!((fs::read(&place.0).ok(), beside()), (Some(vec![3; 16]), 0));
    }

    #[test]
    fn a_leftover_that_is_gone_since_the_look_is_no_error() {
        let place = Place::new("gone");
        assert_eq!(replace(&place.0, [2; 16]), Ok(None));
        assert_eq!((look(&place.0), beside()), (Ok(Found::Nothing), 0));
    }
}
