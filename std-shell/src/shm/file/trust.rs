//! Checks that a file has a trusted owner and no wider mode than allowed.

use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, OFlags, Stat, StatxAttributes, StatxFlags, fcntl_getfl, fcntl_setfl,
    statx,
};
use rustix::process::{getegid, geteuid, getgroups};
use shmlock_core::FenceScope;

use super::{FileSpec, named_by};
use crate::error::{Error, NotALockReason, Result};
use crate::layout::lock_bytes::PRESENCE;
use crate::sys::ofd;
use crate::sys::user_map::{is_mapped, is_overflow_user};

/// Returns `true` if the kernel takes this process for the owner of the file: only the owner may
/// set `O_NOATIME`, fcntl(2) `F_SETFL`. A privileged process may set it only on files whose owner
/// has an id here.
///
/// Changes a flag of this description, without effect: nothing is read through it that has a time.
fn is_owner(fd: BorrowedFd<'_>) -> bool {
    fcntl_getfl(fd).and_then(|flags| fcntl_setfl(fd, flags | OFlags::NOATIME)).is_ok()
}

impl FileSpec {
    /// Refuses a file that is not a regular one.
    pub(crate) fn check_kind(&self, stat: &Stat) -> Result<()> {
        Err(self.not_a_lock(match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => return Ok(()),
            FileType::Fifo => NotALockReason::Fifo,
            FileType::Directory => NotALockReason::Directory,
            FileType::Socket => NotALockReason::Socket,
            FileType::Symlink => NotALockReason::Symlink,
            _ => NotALockReason::Device,
        }))
    }

    /// Refuses a file that is not a regular one, has an owner that is not trusted, or a wider mode
    /// than asked for. Also refuses a removed file to which the path leads all the same, as it does
    /// if the file is mounted there.
    ///
    /// `stat` is what fstat(2) said of the file.
    ///
    /// For an instant a path leads to its removed file without a mount, too: unlink(2) decrements
    /// the link count before it removes the name. The opener detects such a file once it is
    /// present.
    pub(crate) fn judge(&self, fd: BorrowedFd<'_>, stat: &Stat) -> Result<()> {
        self.check_kind(stat)?;
        if !self.trusts(stat, fd) {
            return Err(Error::ForeignOwner { path: self.path.clone(), uid: stat.st_uid });
        }
        let found = stat.st_mode & 0o7777;
        if found & !self.mode != 0 {
            return Err(self.other_mode(fd, found));
        }
        if stat.st_nlink == 0 && named_by(fd, &self.path) && is_mounted(&self.path) {
            return Err(self.not_a_lock(NotALockReason::Removed));
        }
        Ok(())
    }

    /// Returns the error of a wider mode. The remedy, removing the file, would make two locks out
    /// of a lock in use. So the error tells whether it is in use, and which handle holds it.
    fn other_mode(&self, fd: BorrowedFd<'_>, found: u32) -> Error {
        let (path, allowed) = (self.path.clone(), self.mode);
        if !ofd::is_locked(fd, PRESENCE).unwrap_or(true) {
            return Error::ModeTooWide { path, found, allowed };
        }
        let holder = self.holder(fd, FenceScope::default()).ok().flatten();
        let holder = holder.map(Box::new);
        Error::InUseWithOtherMode { path, found, allowed, holder }
    }

    /// Returns `true` for this user, root, a user that the builder names, and the users that the
    /// file is shared with.
    fn trusts(&self, stat: &Stat, fd: BorrowedFd<'_>) -> bool {
        let (uid, gid) = (stat.st_uid, stat.st_gid);
        if uid == 0 || self.trusted_owner == Some(uid) {
            return true;
        }
        let is_our_number = uid == geteuid().as_raw();
        if is_overflow_user(uid) {
            // The user `nobody` is a user like others, unless the kernel shows it in place of us or
            // of the owner.
            return is_our_number && is_mapped(uid) != Some(false) && is_owner(fd);
        }
        let shared_with_all = self.mode & 0o002 != 0;
        let shared_with_us = || self.mode & 0o020 != 0 && in_group(gid);
        is_our_number || shared_with_all || shared_with_us()
    }
}

/// Returns `true` if we are in the group. An overflow gid needs no care: the kernel knew the group
/// when it opened the file for us. Only root opens a file that is not shared with it, and only if
/// the file's ids are mapped.
fn in_group(gid: u32) -> bool {
    getegid().as_raw() == gid
        || getgroups().is_ok_and(|groups| groups.iter().any(|group| group.as_raw() == gid))
}

/// Returns `true` if something is mounted at the path itself, statx(2) `STATX_ATTR_MOUNT_ROOT`.
/// `false` before Linux 5.8, which does not tell.
fn is_mounted(path: &Path) -> bool {
    statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty())
        .is_ok_and(|stat| stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}
