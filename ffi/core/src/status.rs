//! What a call can answer.

#![allow(unsafe_code, reason = "exports a symbol by its name")]

use core::ffi::{CStr, c_char};

use shmlock_core::Error;

/// What a call answers. Negative: an error, and nothing was changed unless the code says so. Not
/// negative: it was done.
///
/// The type is a 32-bit integer on every target, whatever the compiler does with enums
/// (`-fshort-enums`).
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a lock that was not taken protects nothing"]
pub enum Status {
    /// Done. Of a call that takes the lock: it is held.
    Ok = 0,
    /// The lock **is held**, and an owner died holding it: nobody has declared the protected data
    /// consistent since. Look at the data, mend it, call `shmlock_core_declare_consistent`; release in
    /// any case.
    OwnerDied = 1,
    /// Somebody else holds the lock, and the attempts are used up or the callback gave up.
    Busy = -1,
    /// A pointer is NULL that must not be.
    Null = -2,
    /// A pointer is not aligned as its type demands; the region not to `SHMLOCK_CORE_REGION_ALIGN`.
    Misaligned = -3,
    /// The region has fewer than `SHMLOCK_CORE_REGION_LEN` bytes.
    TooShort = -4,
    /// The memory holds something other than a lock. Give the lock memory of its own, or clear it
    /// to zero if its content is garbage.
    NotALock = -5,
    /// The memory holds a lock of another layout version. Use one version on all sides.
    OtherVersion = -6,
    /// A token out of its range.
    BadToken = -7,
    /// Not one of the scopes `SHMLOCK_CORE_INNER_SHAREABLE`, `SHMLOCK_CORE_FULL_SYSTEM`.
    BadScope = -8,
    /// The handle is not attached: it is zero, was detached, or is a copy of another.
    NotAttached = -9,
    /// The handle is in the middle of another call: the caller is that call's wait callback, or a
    /// signal handler that interrupted it. Use a handle of its own there.
    InUse = -10,
    /// The handle does not hold the lock.
    NotHeld = -11,
    /// The owner word no longer names this handle, which has acquired the lock: somebody outside
    /// the protocol wrote to the region, or a forked child released the lock. After a release the
    /// handle holds nothing; the word was left as it is, for it may be another owner's by now.
    Overwritten = -12,
    /// The handle holds the lock 65534 times already.
    NestingTooDeep = -13,
    /// A description that is not UTF-8, or without a NUL among its bytes.
    BadDescription = -14,
    /// The handle is from before a fork: it is the parent's, and this is the child. Nothing was
    /// changed. Attach a handle under a token of its own here.
    Forked = -15,
    /// An error that this version of the header does not know.
    Unknown = -127,
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Misaligned { .. } => Self::Misaligned,
            Error::TooShort { .. } => Self::TooShort,
            Error::NotALock { .. } => Self::NotALock,
            Error::OtherVersion { .. } => Self::OtherVersion,
            Error::Busy { .. } => Self::Busy,
            Error::InUse => Self::InUse,
            Error::NotHeld => Self::NotHeld,
            Error::Overwritten { .. } => Self::Overwritten,
            Error::NestingTooDeep => Self::NestingTooDeep,
            Error::DescriptionTooLong { .. } => Self::BadDescription,
            // Guards are Rust's; a handle of C's has none.
            _ => Self::Unknown,
        }
    }
}

impl From<Result<Self, Self>> for Status {
    fn from(result: Result<Self, Self>) -> Self {
        result.unwrap_or_else(|error| error)
    }
}

/// A sentence about a status, in English, for logs. Any number is allowed. The text is static and
/// never NULL.
///
/// Never blocks; async-signal-safe; anybody may call it.
#[unsafe(no_mangle)]
pub extern "C" fn shmlock_core_message(status: i32) -> *const c_char {
    message(status).as_ptr()
}

fn message(status: i32) -> &'static CStr {
    const ALL: [(Status, &CStr); 18] = [
        (Status::Ok, c"done"),
        (
            Status::OwnerDied,
            c"the lock is held, and an owner died holding it; look at the data, then declare it consistent",
        ),
        (Status::Busy, c"somebody else holds the lock; wait longer or try again"),
        (Status::Null, c"a pointer is NULL that must not be"),
        (Status::Misaligned, c"a pointer is not aligned; a region starts at a multiple of 4"),
        (Status::TooShort, c"the region is too short; give it 128 bytes"),
        (
            Status::NotALock,
            c"the memory holds something other than a lock; point to memory of its own, or clear it to zero",
        ),
        (Status::OtherVersion, c"the region has another layout version; use one version on all sides"),
        (Status::BadToken, c"the token is out of range; give each contender one of its own from 1 to 65535"),
        (Status::BadScope, c"there is no such fence scope; 0 is inner-shareable, 1 is the full system"),
        (Status::NotAttached, c"the handle is not attached; call shmlock_core_attach on it, and do not copy it"),
        (
            Status::InUse,
            c"the handle is in the middle of another call; use another handle in callbacks and signal handlers",
        ),
        (Status::NotHeld, c"this handle does not hold the lock; acquire it first"),
        (
            Status::Overwritten,
            c"the owner word was overwritten while we held the lock; find who else writes to the region",
        ),
        (Status::NestingTooDeep, c"the lock is nested too deeply in this handle; release it more often"),
        (Status::BadDescription, c"the description is not UTF-8, or not ended by a NUL within its 64 bytes"),
        (
            Status::Forked,
            c"the handle is from before a fork and is the parent's; attach one under a token of its own in the child",
        ),
        (Status::Unknown, c"an error that this version of the header does not know"),
    ];
    ALL.iter()
        .find(|(known, _)| *known as i32 == status)
        .map_or(c"no status of this library", |(_, text)| text)
}
