//! Defines the results of calls and their messages.

#![allow(unsafe_code, reason = "exports symbols by their names")]

use std::ffi::{CStr, c_char};

/// The result of a call. Negative: an error, and nothing was acquired. Zero or positive: success.
///
/// The type is a 32-bit integer on every target, whatever the compiler does with enums
/// (`-fshort-enums`). A later version of the library may return numbers that this header does not
/// name: test for negative numbers.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a lock that was not acquired protects nothing"]
pub enum Status {
    /// Success. After an acquisition: the lock is held.
    Ok = 0,
    /// The lock **is held**. An owner died holding it, and the data was not declared consistent
    /// since. Check the data, repair it, call `shmlock_declare_consistent`; release the lock in any
    /// case.
    OwnerDied = 1,
    /// `shmlock_get_holder`: no handle holds the lock. `shmlock_recovered`: no owner has died.
    /// `shmlock_inspect`: there is no such lock.
    None = 2,

    /// One try was made, and another handle holds the lock.
    Busy = -1,
    /// The lock was not free within the time given.
    TimedOut = -2,
    /// The exit event was set.
    Cancelled = -3,
    /// The interrupt callback ended the wait.
    Interrupted = -4,
    /// This thread holds the lock by another handle: waiting would never end.
    WouldDeadlock = -5,
    /// An owner died, and the data was not declared consistent since. Only for handles with
    /// `SHMLOCK_POISONING`. Nothing was acquired.
    Poisoned = -6,
    /// The file was removed: the next to open the name gets another lock. Stop all users and open
    /// again.
    Orphaned = -7,
    /// The handle belongs to the parent, and this process is a forked child. Open the name again.
    Forked = -8,
    /// The handle does not hold the lock.
    NotHeld = -9,
    /// The handle already holds the lock 32766 times.
    NestingTooDeep = -10,
    /// The owner word no longer names the handle that held the lock: an exit handler has released
    /// it, or another program has written to the file. Nothing is released.
    Overwritten = -11,

    /// A pointer that must not be NULL is NULL.
    Null = -20,
    /// A pointer is not aligned for its type.
    Misaligned = -21,
    /// The handle is not open: it is zero, was closed, or is a copy of another.
    NotOpen = -22,
    /// The handle is open already. Close it first.
    AlreadyOpen = -23,
    /// Another call on the handle is in progress: this call comes from a callback, from a signal
    /// handler that interrupted it, or from another thread. Use a handle of its own there.
    InUse = -24,
    /// The size, the flags or a number in a struct is not one that this version knows.
    BadOptions = -25,
    /// A text is not UTF-8.
    BadText = -26,
    /// A buffer is too small. It was not written to.
    BufferTooSmall = -27,

    /// The name cannot be a file name.
    InvalidName = -40,
    /// A description has more than 63 bytes.
    DescriptionTooLong = -41,
    /// A mode does not fit a lock.
    InvalidMode = -42,
    /// A system call failed; the error has its errno.
    System = -43,
    /// The kernel, the file system or the sandbox lacks something the lock is built on.
    Unsupported = -44,
    /// The path leads to something that is no lock. It was left alone.
    NotALock = -45,
    /// The lock has typed data beside it, which a program in Rust has opened.
    OtherData = -46,
    /// The file belongs to a user that this handle does not trust.
    ForeignOwner = -47,
    /// The file gives more access than was asked for.
    ModeTooWide = -48,
    /// A process that was closing the lock did not finish in time; it is probably stopped.
    OpenTimedOut = -49,
    /// The program has a logger of the crate `log` already.
    LoggerSet = -50,

    /// The library has a defect: a call panicked. Close the handle, and report it.
    Panicked = -126,
    /// An error that this version of the header does not know.
    Unknown = -127,
}

/// Returns an English sentence about a status, for logs. Accepts any number. The text is static and
/// never NULL.
///
/// Never blocks; async-signal-safe; any thread.
#[unsafe(no_mangle)]
pub extern "C" fn shmlock_message(status: i32) -> *const c_char {
    message(status).as_ptr()
}

/// Returns the version of the library, as `"1.2.3"`. The text is static.
///
/// Never blocks; async-signal-safe; any thread.
#[unsafe(no_mangle)]
pub extern "C" fn shmlock_version() -> *const c_char {
    VERSION.as_ptr()
}

const VERSION: &CStr =
    match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"unknown",
    };

#[rustfmt::skip] // a table
const MESSAGES: [(Status, &CStr); 35] = [
    (Status::Ok, c"done"),
    (Status::OwnerDied,
        c"the lock is held, but an owner died holding it; check the data, declare it consistent"),
    (Status::None, c"there is none"),
    (Status::Busy, c"another handle holds the lock; wait for it or try later"),
    (Status::TimedOut, c"the lock was not free in time; wait longer, or see what the holder does"),
    (Status::Cancelled, c"the exit event ended the wait; clear it to wait again"),
    (Status::Interrupted, c"the interrupt callback ended the wait"),
    (Status::WouldDeadlock,
        c"this thread holds the lock by another handle; release that first, or nest by the same"),
    (Status::Poisoned,
        c"an owner died; repair the data by a handle without SHMLOCK_POISONING"),
    (Status::Orphaned, c"the lock's file was removed; stop all users and open again"),
    (Status::Forked, c"the handle belongs to the parent process; open the name again"),
    (Status::NotHeld, c"this handle does not hold the lock; acquire it first"),
    (Status::NestingTooDeep,
        c"this handle holds the lock too many times; release it as often as it is acquired"),
    (Status::Overwritten,
        c"the owner word was overwritten during a hold; find what else writes to the file"),
    (Status::Null, c"a pointer is NULL; pass a valid address"),
    (Status::Misaligned, c"a pointer is not aligned for its type"),
    (Status::NotOpen, c"the handle is not open; open it, and do not copy it"),
    (Status::AlreadyOpen, c"the handle is open already; close it first"),
    (Status::InUse,
        c"the handle is in use by another call; use a handle of its own in callbacks and handlers"),
    (Status::BadOptions, c"a size, flag or number is unknown to this version of the library"),
    (Status::BadText, c"a text is not UTF-8"),
    (Status::BufferTooSmall, c"the buffer is too small; give it the size that was written"),
    (Status::InvalidName, c"the name cannot be a file name"),
    (Status::DescriptionTooLong, c"the description is too long; shorten it to 63 bytes"),
    (Status::InvalidMode,
        c"the mode does not fit a lock; give read and write together, and the owner both"),
    (Status::System, c"a system call failed"),
    (Status::Unsupported,
        c"something that the lock needs is missing; use a local tmpfs of Linux 4.14 or later"),
    (Status::NotALock, c"the path leads to something that is no lock; it was left alone"),
    (Status::OtherData, c"the lock has typed data beside it; choose another name"),
    (Status::ForeignOwner, c"the file belongs to another user; trust it, or share by the mode"),
    (Status::ModeTooWide, c"the file gives more access than was asked for; ask for that mode"),
    (Status::OpenTimedOut,
        c"a process has been closing the lock for long; continue or kill it (fuser(1))"),
    (Status::LoggerSet, c"the program has a logger of the crate log already"),
    (Status::Panicked, c"the library has a defect; close the handle, and report it"),
    (Status::Unknown, c"the error is unknown to this version of the header; update the header"),
];

pub(crate) fn message(status: i32) -> &'static CStr {
    MESSAGES
        .iter()
        .find(|(known, _)| *known as i32 == status)
        .map_or(c"not a status of this library", |(_, text)| text)
}
