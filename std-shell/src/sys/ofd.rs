//! Locks and queries bytes of a file for an open file description.
//!
//! Such a lock belongs to the description, not to the process. It goes with the last reference to
//! the description: descriptor or mapping. fcntl(2), "Open file description locks". rustix offers
//! only the per-process kind, which any `close` of the same file drops; hence libc.
//!
//! The locked byte need not exist in the file. Offsets stay below 2^31 so that 32-bit and 64-bit
//! processes agree.
//!
//! The argument is the kernel's own structure, [`Lock`], and on 32-bit targets the system call is
//! made directly. There `fcntl` of glibc 2.28 and later reads `struct flock` for these commands,
//! despite the manual page; that of an earlier glibc hands the pointer on unread. With the other
//! structure it would lock byte 0, or wrong bytes.

#![allow(unsafe_code, reason = "fcntl with a lock argument exists in libc only")]

use std::ops::RangeInclusive;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

/// The kind of a byte lock: the other locks that it excludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Excludes writers.
    Read,
    /// Excludes readers and writers.
    Write,
}

/// Locks the byte, and returns `true`, if no other description has a conflicting lock. Never waits.
///
/// Async-signal-safe.
pub(crate) fn try_lock(fd: BorrowedFd<'_>, kind: Kind, byte: u32) -> Result<bool, Errno> {
    try_lock_range(fd, kind, byte, 1)
}

/// Locks the bytes, and returns `true`, if no other description has a conflicting lock on any of
/// them. Never waits.
///
/// Async-signal-safe.
pub(crate) fn try_lock_range(
    fd: BorrowedFd<'_>,
    kind: Kind,
    first: u32,
    len: u32,
) -> Result<bool, Errno> {
    let kind = match kind {
        Kind::Read => libc::F_RDLCK,
        Kind::Write => libc::F_WRLCK,
    };
    match fcntl(fd, libc::F_OFD_SETLK, kind, first, len) {
        Ok(_) => Ok(true),
        Err(Errno::AGAIN | Errno::ACCESS) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Unlocks the byte. No error if it is not locked.
pub(crate) fn unlock(fd: BorrowedFd<'_>, byte: u32) -> Result<(), Errno> {
    fcntl(fd, libc::F_OFD_SETLK, libc::F_UNLCK, byte, 1).map(drop)
}

/// Returns `true` if another description has any lock on the byte.
pub(crate) fn is_locked(fd: BorrowedFd<'_>, byte: u32) -> Result<bool, Errno> {
    let lock = fcntl(fd, libc::F_OFD_GETLK, libc::F_WRLCK, byte, 1)?;
    Ok(libc::c_int::from(lock.kind) != libc::F_UNLCK)
}

/// Returns `true` if another description has a write lock on the byte.
pub(crate) fn is_write_locked(fd: BorrowedFd<'_>, byte: u32) -> Result<bool, Errno> {
    let lock = fcntl(fd, libc::F_OFD_GETLK, libc::F_RDLCK, byte, 1)?;
    Ok(libc::c_int::from(lock.kind) != libc::F_UNLCK)
}

/// Returns `true` if another description has a lock on this byte alone, and a query for the two
/// bytes from here on names that lock. Otherwise nothing is known.
///
/// The answer differs from the query, so the kernel has looked: an emulator that answers 0 to any
/// call leaves the length at 2.
pub(crate) fn is_single_lock_visible(fd: BorrowedFd<'_>, byte: u32) -> Result<bool, Errno> {
    let lock = fcntl(fd, libc::F_OFD_GETLK, libc::F_WRLCK, byte, 2)?;
    Ok(libc::c_int::from(lock.kind) != libc::F_UNLCK
        && u32::try_from(lock.start) == Ok(byte)
        && lock.len == 1)
}

/// Returns the range of a lock of another description on any of the bytes, if there is one.
pub(crate) fn blocking_range(
    fd: BorrowedFd<'_>,
    byte: u32,
    len: u32,
) -> Result<Option<RangeInclusive<u32>>, Errno> {
    let lock = fcntl(fd, libc::F_OFD_GETLK, libc::F_WRLCK, byte, len)?;
    if libc::c_int::from(lock.kind) == libc::F_UNLCK {
        return Ok(None);
    }
    // A length of 0 reaches to the end of every file. The part beyond our offsets is cut off.
    let start = u32::try_from(lock.start).unwrap_or(byte);
    let end = match u32::try_from(lock.len) {
        Ok(0) | Err(_) => u32::MAX,
        Ok(len) => start.saturating_add(len - 1),
    };
    Ok(Some(start..=end))
}

/// The argument of fcntl(2) for these commands: the kernel's `struct flock` where `long` has 64
/// bits, its `struct flock64` otherwise (`include/uapi/asm-generic/fcntl.h`).
#[repr(C)]
struct Lock {
    kind: libc::c_short,
    whence: libc::c_short,
    start: i64,
    len: i64,
    pid: libc::pid_t,
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Lock>() == size_of::<libc::flock>());

/// Makes one fcntl(2) call on `len` bytes. Returns the lock as the kernel has written it.
fn fcntl(
    fd: BorrowedFd<'_>,
    command: libc::c_int,
    kind: libc::c_int,
    byte: u32,
    len: u32,
) -> Result<Lock, Errno> {
    // The constants are `c_int`, the fields `c_short`, on every Linux target.
    #[allow(clippy::cast_possible_truncation, reason = "values 0, 1, 2")]
    let mut lock = Lock {
        kind: kind as libc::c_short,
        whence: libc::SEEK_SET as libc::c_short,
        start: byte.into(),
        len: len.into(),
        pid: 0,
    };
    loop {
        // SAFETY:
        // - `fd` is open for the duration of the call: it is borrowed.
        // - the commands used here take a pointer to this structure, valid for reads and writes: it
        //   is ours.
        #[cfg(target_pointer_width = "64")]
        let answer = unsafe { libc::fcntl(fd.as_raw_fd(), command, &raw mut lock) };
        // SAFETY: as above.
        #[cfg(not(target_pointer_width = "64"))]
        let answer =
            unsafe { libc::syscall(libc::SYS_fcntl64, fd.as_raw_fd(), command, &raw mut lock) };
        if answer != -1 {
            return Ok(lock);
        }
        match Errno::from_io_error(&std::io::Error::last_os_error()) {
            Some(Errno::INTR) => {}
            Some(errno) => return Err(errno),
            None => return Err(Errno::IO),
        }
    }
}
