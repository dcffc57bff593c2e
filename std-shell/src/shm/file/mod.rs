//! Specifies, opens and inspects a lock's file, which must be trusted and whole before it is used.
//!
//! If a better call is refused, by *any* errno, the plain one is tried: sandboxes refuse with
//! arbitrary errnos. Only the error of the plain call reaches the caller.

mod content;
pub(crate) mod grow;
mod trust;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, fchmod, fstat, lstat, openat, stat};
use rustix::io::{Errno, retry_on_intr};

use crate::error::{Error, FREE_TOKEN, NotALockReason, Result};
use crate::layout::header::BlockLayout;
use crate::name::Name;
use crate::sys::file_id::FileId;

/// Checks that each class of users may both read and write, or neither. A reader alone could take
/// byte locks, and so disturb recovery.
pub(crate) fn check_mode(mode: u32) -> Result<()> {
    let pairs = [mode >> 6, mode >> 3, mode].map(|bits| bits & 0o7);
    let is_sound =
        mode & !0o666 == 0 && pairs.iter().all(|pair| matches!(pair, 0 | 6)) && pairs[0] == 6;
    if is_sound { Ok(()) } else { Err(Error::InvalidMode { mode }) }
}

/// The path of a file, the users that may share it, and the data that it is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileSpec {
    pub(crate) directory: PathBuf,
    pub(crate) path: PathBuf,
    pub(crate) mode: u32,
    pub(crate) trusted_owner: Option<u32>,
    /// The data wanted beside the lock. An opener that wants none accepts a lock with data as well.
    pub(crate) shape: BlockLayout,
}

impl FileSpec {
    /// Returns the specification of the lock or event with this name, without data and without a
    /// further trusted owner.
    ///
    /// A relative directory is resolved now, getcwd(3): the path stays the same when the process
    /// changes its working directory.
    ///
    /// # Errors
    /// [`Error::System`] if the directory is relative and the working directory was removed.
    pub(crate) fn new(name: &Name, suffix: &str, directory: &Path, mode: u32) -> Result<Self> {
        let absolute = match std::path::absolute(directory) {
            Ok(absolute) => absolute,
            Err(error) => {
                let errno = Errno::from_io_error(&error).unwrap_or(Errno::NOENT); // an empty path
                return Err(Error::System {
                    operation: "find the working directory for",
                    path: directory.to_owned(),
                    errno,
                });
            }
        };
        let path = name.path_in(&absolute, suffix);
        Ok(Self { directory: absolute, path, mode, trusted_owner: None, shape: BlockLayout::NONE })
    }

    pub(crate) fn system(&self, operation: &'static str, errno: Errno) -> Error {
        Error::System { operation, path: self.path.clone(), errno }
    }

    /// Opens the file at the path, open(2). `None`: there is none.
    ///
    /// Does not follow links, wait for the peer of a pipe, or acquire a controlling terminal.
    /// **Never creates**: with `fs.protected_regular` set, `O_CREAT` on another user's file in a
    /// sticky directory fails, and plain opening works.
    pub(crate) fn open(&self) -> Result<Option<OwnedFd>> {
        self.open_for(OFlags::RDWR)
    }

    /// Opens the file at the path for reading only; otherwise as [`open`](Self::open).
    pub(crate) fn open_to_look(&self) -> Result<Option<OwnedFd>> {
        self.open_for(OFlags::RDONLY)
    }

    fn open_for(&self, access: OFlags) -> Result<Option<OwnedFd>> {
        // By openat(2), as libc does: sandboxes may allow no other call.
        let flags = access | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        match retry_on_intr(|| openat(CWD, &self.path, flags, Mode::empty())) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::LOOP) => Err(self.not_a_lock(NotALockReason::Symlink)),
            Err(Errno::ISDIR) => Err(self.not_a_lock(NotALockReason::Directory)),
            // A socket, or a device that no driver serves.
            Err(Errno::NXIO) => Err(self.not_a_lock(match lstat(&self.path) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Socket => {
                    NotALockReason::Socket
                }
                _ => NotALockReason::Device,
            })),
            Err(errno) => Err(self.system("open", errno)),
        }
    }

    pub(crate) fn not_a_lock(&self, found: NotALockReason) -> Error {
        Error::NotALock { path: self.path.clone(), found }
    }

    /// Converts the core's error about the content of the file.
    pub(crate) fn not_a_region(&self, error: shmlock_core::Error) -> Error {
        match error {
            shmlock_core::Error::OtherVersion { found } => {
                self.not_a_lock(NotALockReason::Version { version: found })
            }
            shmlock_core::Error::NotALock { found } => {
                self.not_a_lock(NotALockReason::Magic { word: found })
            }
            _ => self.system("map", Errno::INVAL),
        }
    }

    pub(crate) fn mode_bits(&self) -> Mode {
        Mode::from_raw_mode(self.mode)
    }

    /// Sets the mode of the file whatever the umask, fchmod(2). A refusal is an error only if the
    /// file has another mode.
    pub(crate) fn set_mode(&self, fd: BorrowedFd<'_>) -> Result<()> {
        let has_it = || fstat(fd).is_ok_and(|stat| stat.st_mode & 0o7777 == self.mode);
        match retry_on_intr(|| fchmod(fd, self.mode_bits())) {
            Err(errno) if !has_it() => Err(self.system("set the mode of", errno)),
            _ => Ok(()),
        }
    }

    pub(crate) fn no_byte_locks(&self, errno: Errno) -> Error {
        Error::Unsupported {
            what: "locking bytes of an open file description (F_OFD_SETLK)",
            path: self.path.clone(),
            errno: Some(errno),
        }
    }

    pub(crate) fn no_token(&self, errno: Errno) -> Error {
        match errno {
            Errno::AGAIN => self.system(FREE_TOKEN, errno),
            errno => self.no_byte_locks(errno),
        }
    }

    /// Returns `true` if the path does not lead to this file any more. stat(2), lstat(2). `false`
    /// if that cannot be told: the directory is on another file system, as in a changed root.
    pub(crate) fn has_lost(&self, file: FileId) -> bool {
        let is_same_system =
            stat(&self.directory).is_ok_and(|stat| FileId::of(&stat).is_on_the_device_of(file));
        is_same_system
            && match lstat(&self.path) {
                Ok(stat) => FileId::of(&stat) != file,
                Err(errno) => errno == Errno::NOENT,
            }
    }
}

/// Returns `true` if the file has the length 0.
pub(crate) fn is_empty(fd: BorrowedFd<'_>) -> bool {
    fstat(fd).is_ok_and(|stat| stat.st_size == 0)
}

/// Returns `true` if the file has no name: not yet, or no longer.
fn is_nameless(fd: BorrowedFd<'_>) -> bool {
    fstat(fd).is_ok_and(|stat| stat.st_nlink == 0)
}

fn has_many_names(fd: BorrowedFd<'_>) -> bool {
    fstat(fd).is_ok_and(|stat| stat.st_nlink > 1)
}

pub(crate) fn has_one_name(fd: BorrowedFd<'_>) -> bool {
    fstat(fd).is_ok_and(|stat| stat.st_nlink == 1)
}

pub(crate) fn named_by(fd: BorrowedFd<'_>, path: &Path) -> bool {
    match (FileId::of_fd(fd), stat(path)) {
        (Some(open), Ok(named)) => open == FileId::of(&named),
        _ => false,
    }
}
