//! Takes something away from a thread or process: descriptors, space, rights; or mounts over it.

#![allow(unsafe_code, reason = "mount, unshare and the calls that change a process's user")]

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr::null;

use crate::hostile::seccomp::checked;
use crate::skip::skipped;

/// A file system in a mount namespace of the calling thread's own.
#[derive(Debug)]
pub struct Mounted {
    on: PathBuf,
}

/// Mounts a tmpfs; where that is not allowed, reports that the test is skipped.
#[must_use]
pub fn mount_tmpfs(on: &Path, options: &str) -> Option<Mounted> {
    mounted(on, || mount(c"tmpfs", on, 0, options))
}

/// Mounts a ramfs, which has no fallocate(2); where that is not allowed, reports that the test is
/// skipped.
#[must_use]
pub fn mount_ramfs(on: &Path) -> Option<Mounted> {
    mounted(on, || mount(c"ramfs", on, 0, ""))
}

/// Mounts a file or directory at a second place, for this thread and the programs it starts. Where
/// that is not allowed, reports that the test is skipped.
#[must_use]
pub fn mount_again(from: &Path, on: &Path) -> Option<Mounted> {
    let (from, to) = (c_string(from), c_string(on));
    let bind = || {
        // SAFETY: two valid strings; null where mount(2) ignores the argument.
        checked(unsafe { libc::mount(from.as_ptr(), to.as_ptr(), null(), libc::MS_BIND, null()) })
    };
    mounted(on, bind)
}

fn mounted(on: &Path, mount: impl FnOnce() -> io::Result<()>) -> Option<Mounted> {
    let result = private_namespace().and_then(|()| mount());
    if let Err(error) = &result {
        skipped(&format!("a mount of its own needs root and CAP_SYS_ADMIN: {error}"));
    }
    result.is_ok().then(|| Mounted { on: on.to_owned() })
}

fn private_namespace() -> io::Result<()> {
    // SAFETY: a new mount namespace for this thread; touches no memory.
    checked(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    let private = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: a valid path; null where mount(2) ignores the argument.
    checked(unsafe { libc::mount(null(), c"/".as_ptr(), null(), private, null()) })
}

fn mount(kind: &CStr, on: &Path, flags: libc::c_ulong, options: &str) -> io::Result<()> {
    let (path, options) = (c_string(on), CString::new(options).expect("no NUL"));
    // SAFETY: three valid strings and one that the file system reads as its options.
    checked(unsafe {
        libc::mount(c"none".as_ptr(), path.as_ptr(), kind.as_ptr(), flags, options.as_ptr().cast())
    })
}

impl Mounted {
    /// Remounts it read-only.
    ///
    /// # Panics
    /// If the system refuses.
    pub fn make_read_only(&self) {
        mount(c"tmpfs", &self.on, libc::MS_REMOUNT | libc::MS_RDONLY, "").expect("our own mount");
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // SAFETY: a valid path.
        unsafe { libc::umount2(c_string(&self.on).as_ptr(), libc::MNT_DETACH) };
    }
}

fn c_string(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("no NUL")
}

/// Uses up the descriptors of this process except `free` of them. Dropping the returned files frees
/// them again.
///
/// # Panics
/// If the limit cannot be lowered.
#[must_use]
pub fn leave_descriptors(free: usize) -> Vec<File> {
    let null = || File::open("/dev/null");
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a valid place.
    checked(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })
        .expect("a limit can be read");
    limit.rlim_cur = limit.rlim_cur.min(64);
    // SAFETY: a valid limit.
    checked(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })
        .expect("a limit can be lowered");
    let mut used: Vec<File> = std::iter::from_fn(|| null().ok()).collect();
    used.truncate(used.len() - free);
    used
}

/// Limits the size of the files that this process may write.
///
/// # Panics
/// If the limit cannot be lowered.
pub fn limit_file_size(bytes: libc::rlim_t) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: a valid limit.
    checked(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) })
        .expect("a limit can be lowered");
}

/// Changes the user and the group of this whole process, without a way back.
///
/// # Panics
/// If this process is not root.
pub fn be_user(uid: u32, gid: u32) {
    // SAFETY: a valid list of one group.
    checked(unsafe { libc::setgroups(1, &raw const gid) }).expect("root may");
    // SAFETY: a number.
    checked(unsafe { libc::setgid(gid) }).expect("root may");
    // SAFETY: a number.
    checked(unsafe { libc::setuid(uid) }).expect("root may");
    // SAFETY: a number; the change of user had made it 0.
    checked(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }).expect("a valid signal");
}

/// Makes a special file of this type and mode.
///
/// # Errors
/// The system's.
pub fn make_node(path: &Path, mode: libc::mode_t, device: libc::dev_t) -> io::Result<()> {
    // SAFETY: a valid path and two numbers.
    checked(unsafe { libc::mknod(c_string(path).as_ptr(), mode, device) })
}
