//! A file that appears whole or not at all, and is used only if it can be trusted.
//!
//! Where there is a better way and a plain one, *any* refusal of the better way leads to the plain
//! way: sandboxes refuse with whatever errno they like. Only the error of the plain way is the
//! caller's.

mod content;
mod grow;
mod limit;
mod trust;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Stat, fchmod, fstat, linkat, lstat, openat, stat,
};
use rustix::io::{Errno, retry_on_intr};

use crate::descriptor::Descriptor;
use crate::error::{Error, FREE_TOKEN, NotALockReason, Result};
use crate::fork::ProcessGeneration;
use crate::header::BlockLayout;
use crate::name::Name;
use crate::presence;
use crate::removal::remove_if_last;

pub(crate) use grow::write_all;
pub(crate) use trust::is_overflow_user;

/// Where a file is, who may share it, and what is to be in it.
#[derive(Clone, Debug)]
pub(crate) struct FileSpec {
    pub(crate) directory: PathBuf,
    pub(crate) path: PathBuf,
    pub(crate) mode: u32,
    pub(crate) trusted_owner: Option<u32>,
    /// The data that we want beside the lock. Who wants none takes a lock with data as well.
    pub(crate) shape: BlockLayout,
}

/// What shows that two descriptors are of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    // The fields of `stat` have other widths on other targets.
    #[allow(clippy::useless_conversion, clippy::unnecessary_cast, reason = "u32 on some targets")]
    pub(crate) fn of(stat: &Stat) -> Self {
        Self { device: stat.st_dev as u64, inode: stat.st_ino as u64 }
    }

    /// Of an open file. `None` if the kernel will not tell.
    pub(crate) fn of_fd(fd: BorrowedFd<'_>) -> Option<Self> {
        fstat(fd).ok().map(|stat| Self::of(&stat))
    }

    /// The two numbers, for comparison without a type.
    pub(crate) fn numbers(self) -> (u64, u64) {
        (self.device, self.inode)
    }
}

impl FileSpec {
    /// Returns the place of the lock or event of this name, without data and with no other trusted
    /// owner.
    ///
    /// A relative directory is that of this moment: the place stays the same when the process
    /// changes its working directory. getcwd(3).
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

    /// Opens what stands at the path, without following links, without blocking on a pipe, without
    /// becoming the controlling terminal, and **without creating**: with `fs.protected_regular`
    /// set, `O_CREAT` on another's file in a sticky directory fails where plain opening works.
    /// open(2). `None`: nothing is there.
    pub(crate) fn open(&self) -> Result<Option<OwnedFd>> {
        self.open_for(OFlags::RDWR)
    }

    /// As [`open`](Self::open), for whoever only looks.
    pub(crate) fn open_to_look(&self) -> Result<Option<OwnedFd>> {
        self.open_for(OFlags::RDONLY)
    }

    fn open_for(&self, access: OFlags) -> Result<Option<OwnedFd>> {
        // By openat(2), as libc does everywhere: sandboxes may know no other.
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

    /// The core's reasons to refuse what is in the file.
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

    /// Makes the file, with the presence of its maker already on it, and then gives it its name:
    /// nobody sees it half-made, and a failure leaves nothing. `None`: look again, somebody else
    /// made it or it is there but empty.
    ///
    /// The better way is a nameless file, open(2) `O_TMPFILE`. Where that or its linking is
    /// refused, an empty file is made in plain view.
    pub(crate) fn create(&self) -> Result<Option<OwnedFd>> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let Ok(fd) = retry_on_intr(|| openat(CWD, &self.directory, flags, self.mode_bits())) else {
            return self.create_empty();
        };
        self.set_mode(fd.as_fd())?;
        // What nobody else would accept is not made: where we have no user number, or modes mean
        // nothing.
        self.judge(fd.as_fd())?;
        if !self.allocate(fd.as_fd())? {
            return Ok(None);
        }
        #[cfg(feature = "block")]
        self.describe(fd.as_fd())?;
        if !presence::announce(fd.as_fd()).map_err(|errno| self.no_byte_locks(errno))? {
            return Ok(None); // nobody else can know this file yet; whatever answered, start again
        }
        match self.link(fd.as_fd()) {
            Ok(()) => Ok(Some(fd)),
            Err(Errno::EXIST) => Ok(None),
            Err(_) => self.create_empty(),
        }
    }

    /// Gives a nameless file its name, linkat(2). Without privilege by descriptor since Linux 6.10,
    /// else through /proc.
    fn link(&self, fd: BorrowedFd<'_>) -> std::result::Result<(), Errno> {
        let by_descriptor = retry_on_intr(|| linkat(fd, "", CWD, &self.path, AtFlags::EMPTY_PATH));
        if matches!(by_descriptor, Ok(()) | Err(Errno::EXIST)) {
            return by_descriptor;
        }
        let proc = format!("/proc/self/fd/{}", fd.as_raw_fd());
        retry_on_intr(|| linkat(CWD, &*proc, CWD, &self.path, AtFlags::SYMLINK_FOLLOW))
    }

    /// Makes an empty file, which the next opener makes whole: where a nameless file cannot be made
    /// or linked.
    ///
    /// *If we die here:* the empty file stays, and is as good as none.
    fn create_empty(&self) -> Result<Option<OwnedFd>> {
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match retry_on_intr(|| openat(CWD, &self.path, flags, self.mode_bits())) {
            Ok(fd) => {
                let made = Descriptor::new(fd).map_err(|errno| self.system("inspect", errno))?;
                let fd = made.as_fd();
                self.set_mode(fd).and_then(|()| self.judge(fd)).inspect_err(|_| {
                    remove_if_last(self, &made, ProcessGeneration::here(), || is_empty(fd));
                })?;
                Ok(None)
            }
            Err(Errno::EXIST) => Ok(None),
            Err(errno) => Err(self.system("create", errno)),
        }
    }

    fn mode_bits(&self) -> Mode {
        Mode::from_raw_mode(self.mode)
    }

    /// Gives the file its mode whatever the umask, fchmod(2). A refusal matters only if the file
    /// has another mode.
    fn set_mode(&self, fd: BorrowedFd<'_>) -> Result<()> {
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

    /// Returns `true` if the name leads to another file than this one, or nowhere; `false` where
    /// that cannot be told: where the directory lies on another file system, as in a changed root.
    /// stat(2).
    pub(crate) fn has_lost(&self, file: FileId) -> bool {
        let is_same_system =
            stat(&self.directory).is_ok_and(|stat| FileId::of(&stat).device == file.device);
        is_same_system
            && match lstat(&self.path) {
                Ok(stat) => FileId::of(&stat) != file,
                Err(errno) => errno == Errno::NOENT,
            }
    }
}

/// Whether nothing is in the file.
fn is_empty(fd: BorrowedFd<'_>) -> bool {
    fstat(fd).is_ok_and(|stat| stat.st_size == 0)
}

/// Whether the file has no name: not yet, or no longer.
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
