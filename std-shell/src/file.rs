//! A file that appears whole or not at all, and is used only if it can be trusted.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, Stat, fallocate, fchmod, fstat, linkat, lstat, open, stat,
};
use rustix::io::{Errno, pread};
use rustix::process::{getegid, geteuid, getgroups};
use shmlock_core::layout::Magic;

use crate::error::{Error, Found, Result};
use crate::header::{BlockShape, DATA_OFFSET, HEADER_LEN, HEADER_OFFSET};
use crate::presence;

/// Where a file is, who may share it, and what is to be in it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) directory: PathBuf,
    pub(crate) path: PathBuf,
    pub(crate) mode: u32,
    pub(crate) trusted_owner: Option<u32>,
    /// The data that we want beside the lock. Who wants none takes a lock with data as well.
    pub(crate) shape: BlockShape,
}

/// What shows that two descriptors are of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

/// Where the magic word is, see `layout.rs` of the core.
const MAGIC_OFFSET: u64 = 8;

/// What the kernel shows for a user that has no number in our user namespace: as good as any stranger, even if we
/// ourselves have none. `user_namespaces(7)`; the value is the default of /proc/sys/kernel/overflowuid.
const OVERFLOW_UID: u32 = 65534;

impl Identity {
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

impl Place {
    pub(crate) fn system(&self, operation: &'static str, errno: Errno) -> Error {
        Error::System { operation, path: self.path.clone(), errno }
    }

    /// Opens what stands at the path, without following links, without blocking on a pipe, without becoming the
    /// controlling terminal, and **without creating**: with `fs.protected_regular` set, `O_CREAT` on another's file in a
    /// sticky directory fails where plain opening works. open(2). `None`: nothing is there.
    pub(crate) fn open(&self) -> Result<Option<OwnedFd>> {
        self.open_for(OFlags::RDWR)
    }

    /// As [`open`](Self::open), for whoever only looks.
    pub(crate) fn open_to_look(&self) -> Result<Option<OwnedFd>> {
        self.open_for(OFlags::RDONLY)
    }

    fn open_for(&self, access: OFlags) -> Result<Option<OwnedFd>> {
        let flags = access | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        match open(&self.path, flags, Mode::empty()) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::LOOP) => Err(self.not_a_lock(Found::Symlink)),
            Err(Errno::ISDIR) => Err(self.not_a_lock(Found::Directory)),
            // A socket, or a device that no driver serves.
            Err(Errno::NXIO) => Err(self.not_a_lock(match lstat(&self.path) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Socket => Found::Socket,
                _ => Found::Device,
            })),
            Err(errno) => Err(self.system("open", errno)),
        }
    }

    pub(crate) fn not_a_lock(&self, found: Found) -> Error {
        Error::NotALock { path: self.path.clone(), found }
    }

    /// The core's reasons to refuse what is in the file.
    pub(crate) fn not_a_region(&self, error: shmlock_core::Error) -> Error {
        match error {
            shmlock_core::Error::OtherVersion { found } => self.not_a_lock(Found::Version { version: found }),
            shmlock_core::Error::NotALock { found } => self.not_a_lock(Found::Magic { word: found }),
            _ => self.system("map", Errno::INVAL),
        }
    }

    /// Makes the file, with the presence of its maker already on it, and then gives it its name: nobody sees it
    /// half-made, and a failure leaves nothing. `None`: look again, somebody else made it or it is there but empty.
    pub(crate) fn create(&self) -> Result<Option<OwnedFd>> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let fd = match open(&self.directory, flags, Mode::from_raw_mode(self.mode)) {
            Ok(fd) => fd,
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => return self.create_empty(),
            Err(errno) => {
                return Err(Error::System { operation: "create a file in", path: self.directory.clone(), errno });
            }
        };
        fchmod(&fd, Mode::from_raw_mode(self.mode)).map_err(|errno| self.system("set the mode of", errno))?;
        // What nobody else would accept is not made: where we have no user number, or modes mean nothing.
        self.judge(fd.as_fd())?;
        self.allocate(fd.as_fd())?;
        #[cfg(feature = "block")]
        self.describe(fd.as_fd())?;
        if !presence::announce(fd.as_fd()).map_err(|errno| self.no_byte_locks(errno))? {
            return Ok(None); // nobody else can know this file yet; whatever answered, start again
        }
        match self.link(fd.as_fd()) {
            Ok(()) => Ok(Some(fd)),
            Err(Errno::EXIST) => Ok(None),
            Err(Errno::NOENT | Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS) => self.create_empty(),
            Err(errno) => Err(self.system("create", errno)),
        }
    }

    /// Gives a nameless file its name, linkat(2). Without privilege by descriptor since Linux 6.10, else through /proc.
    fn link(&self, fd: BorrowedFd<'_>) -> std::result::Result<(), Errno> {
        match linkat(fd, "", CWD, &self.path, AtFlags::EMPTY_PATH) {
            Err(Errno::NOENT | Errno::PERM | Errno::ACCESS) => {}
            answer => return answer,
        }
        let proc = format!("/proc/self/fd/{}", fd.as_raw_fd());
        linkat(CWD, proc, CWD, &self.path, AtFlags::SYMLINK_FOLLOW)
    }

    /// Where nameless files or /proc are missing: an empty file, which whoever opens it next makes whole.
    fn create_empty(&self) -> Result<Option<OwnedFd>> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match open(&self.path, flags, Mode::from_raw_mode(self.mode)) {
            Ok(fd) => fchmod(&fd, Mode::from_raw_mode(self.mode))
                .map(|()| None)
                .map_err(|errno| self.system("set the mode of", errno)),
            Err(Errno::EXIST) => Ok(None),
            Err(errno) => Err(self.system("create", errno)),
        }
    }

    /// Grows the file to its length, with its memory really allocated: on a full tmpfs a hole would answer even a *read*
    /// by SIGBUS. fallocate(2). Never shrinks, keeps what is there, so two may do it at once, and to a whole lock.
    pub(crate) fn allocate(&self, fd: BorrowedFd<'_>) -> Result<()> {
        let operation = match self.shape {
            BlockShape::NONE => "allocate 192 bytes for",
            _ => "allocate the block of",
        };
        fallocate(fd, FallocateFlags::empty(), 0, self.shape.file_len()).map_err(|errno| self.system(operation, errno))
    }

    /// Says in a file that nobody knows yet what data it has.
    #[cfg(feature = "block")]
    fn describe(&self, fd: BorrowedFd<'_>) -> Result<()> {
        if self.shape == BlockShape::NONE {
            return Ok(());
        }
        match rustix::io::pwrite(fd, &self.shape.to_bytes(), HEADER_OFFSET as u64) {
            Ok(HEADER_LEN) => Ok(()),
            Ok(_) => Err(self.system("describe the block of", Errno::IO)),
            Err(errno) => Err(self.system("describe the block of", errno)),
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
            Errno::AGAIN => self.system("find a free token on", errno),
            errno => self.no_byte_locks(errno),
        }
    }

    /// Whether the open file is a regular one.
    pub(crate) fn check_kind(&self, fd: BorrowedFd<'_>) -> Result<Stat> {
        let stat = fstat(fd).map_err(|errno| self.system("inspect", errno))?;
        Err(self.not_a_lock(match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => return Ok(stat),
            FileType::Fifo => Found::Fifo,
            FileType::Directory => Found::Directory,
            FileType::Socket => Found::Socket,
            FileType::Symlink => Found::Symlink,
            _ => Found::Device,
        }))
    }

    /// Whether the open file may be used: a regular file, of an owner we trust, no wider open than asked for.
    pub(crate) fn judge(&self, fd: BorrowedFd<'_>) -> Result<()> {
        let stat = self.check_kind(fd)?;
        if !self.trusts(&stat) {
            return Err(Error::ForeignOwner { path: self.path.clone(), uid: stat.st_uid });
        }
        let found = stat.st_mode & 0o7777;
        if found & !self.mode != 0 {
            return Err(Error::ModeTooWide { path: self.path.clone(), found, allowed: self.mode });
        }
        Ok(())
    }

    /// We ourselves, root, whom the builder named, and where sharing was asked for, those whom it is shared with.
    fn trusts(&self, stat: &Stat) -> bool {
        let uid = stat.st_uid;
        if self.trusted_owner == Some(uid) {
            return true;
        }
        if uid == OVERFLOW_UID {
            return false;
        }
        let shared_with_all = self.mode & 0o002 != 0;
        let shared_with_us = self.mode & 0o020 != 0 && in_group(stat.st_gid);
        uid == 0 || uid == geteuid().as_raw() || shared_with_us || shared_with_all
    }

    /// Refuses any size but that of a lock, with or without data, and that of a half-made one; and where we want data,
    /// another shape than ours.
    pub(crate) fn check_size(&self, fd: BorrowedFd<'_>) -> Result<()> {
        let bytes = self.size_of(fd)?;
        if bytes == 0 {
            log::debug!("{} is empty, left half-made by somebody; making it whole", self.path.display());
            return Ok(());
        }
        let found = self.shape_in(fd, bytes)?;
        let half_made = found == BlockShape::NONE && bytes == self.shape.file_len();
        if self.shape == BlockShape::NONE || found == self.shape || half_made {
            return Ok(());
        }
        Err(self.other_block(found))
    }

    pub(crate) fn other_block(&self, found: BlockShape) -> Error {
        Error::OtherBlock { path: self.path.clone(), found, wanted: self.shape }
    }

    fn size_of(&self, fd: BorrowedFd<'_>) -> Result<u64> {
        let stat = fstat(fd).map_err(|errno| self.system("inspect", errno))?;
        Ok(u64::try_from(stat.st_size).unwrap_or(0))
    }

    /// Whether the file is a lock or an untouched one, with whatever data.
    pub(crate) fn is_a_lock(&self, fd: BorrowedFd<'_>) -> bool {
        let is_shaped = |size| size != 0 && self.shape_in(fd, size).is_ok();
        self.size_of(fd).is_ok_and(is_shaped) && self.check_magic(fd).is_ok()
    }

    /// What data a file of this size says that it has. It has to be true; or nothing yet, if the size is what we want.
    fn shape_in(&self, fd: BorrowedFd<'_>, size: u64) -> Result<BlockShape> {
        if size == DATA_OFFSET as u64 {
            return Ok(BlockShape::NONE);
        }
        let shape = BlockShape::of_bytes(&self.header(fd)?);
        let half_made = shape.bytes() == 0 && size == self.shape.file_len();
        match size {
            _ if half_made => Ok(BlockShape::NONE),
            _ if shape.bytes() != 0 && size == shape.file_len() => Ok(shape),
            bytes => Err(self.not_a_lock(Found::Size { bytes })),
        }
    }

    /// The header, pread(2); zero where the file is shorter.
    pub(crate) fn header(&self, fd: BorrowedFd<'_>) -> Result<[u8; HEADER_LEN]> {
        let mut header = [0; HEADER_LEN];
        pread(fd, &mut header, HEADER_OFFSET as u64).map_err(|errno| self.system("read", errno))?;
        Ok(header)
    }

    /// Returns `true` if the name leads to another file than this one, or nowhere; `false` where that cannot be told: where the
    /// directory lies on another file system, as in a changed root. stat(2).
    pub(crate) fn has_lost(&self, file: Identity) -> bool {
        let is_same_system = stat(&self.directory).is_ok_and(|stat| Identity::of(&stat).device == file.device);
        is_same_system
            && match lstat(&self.path) {
                Ok(stat) => Identity::of(&stat) != file,
                Err(errno) => errno == Errno::NOENT,
            }
    }

    /// Refuses a file of the right size with other content. Before it is mapped: a write fault would change its time of
    /// modification, and even a compare-and-swap that fails is one.
    ///
    /// Refuses a second name of a file that is no lock yet, too: in a directory such as `/dev/shm` another user may have
    /// linked the lock's name to some empty file of ours, for us to write to it.
    pub(crate) fn check_magic(&self, fd: BorrowedFd<'_>) -> Result<()> {
        let mut word = [0; 4];
        // Shorter: empty, or truncated meanwhile, which mapping it finds out.
        pread(fd, &mut word, MAGIC_OFFSET).map_err(|errno| self.system("read", errno))?;
        let word = u32::from_le_bytes(word);
        match Magic::decode(word) {
            Magic::Untouched if has_many_names(fd) => Err(self.not_a_lock(Found::HardLink)),
            Magic::Untouched | Magic::Ours => Ok(()),
            Magic::OtherVersion(version) => Err(self.not_a_lock(Found::Version { version })),
            Magic::Foreign => Err(self.not_a_lock(Found::Magic { word })),
        }
    }
}

fn has_many_names(fd: BorrowedFd<'_>) -> bool {
    fstat(fd).is_ok_and(|stat| stat.st_nlink > 1)
}

pub(crate) fn has_one_name(fd: BorrowedFd<'_>) -> bool {
    fstat(fd).is_ok_and(|stat| stat.st_nlink == 1)
}

pub(crate) fn named_by(fd: BorrowedFd<'_>, path: &Path) -> bool {
    match (Identity::of_fd(fd), stat(path)) {
        (Some(open), Ok(named)) => open == Identity::of(&named),
        _ => false,
    }
}

fn in_group(gid: u32) -> bool {
    getegid().as_raw() == gid || getgroups().is_ok_and(|groups| groups.iter().any(|group| group.as_raw() == gid))
}
