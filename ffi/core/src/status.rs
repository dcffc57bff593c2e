//! Defines the results of calls and their messages.

#![allow(unsafe_code, reason = "exports a symbol by its name")]

use core::ffi::{CStr, c_char};

use shmlock_core::Error;
use shmlock_core::layout::EPOCH_VERSION;

/// The result of a call. Negative: an error, and nothing was changed unless the code says so. Zero
/// or positive: success.
///
/// The type is a 32-bit integer on every target, whatever the compiler does with enums
/// (`-fshort-enums`).
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a lock that was not acquired protects nothing"]
pub enum Status {
    /// Success. After an acquisition: the lock is held.
    Ok = 0,
    /// The lock **is held**. An owner died holding it, and the data was not declared consistent
    /// since. Check the data, repair it, call `shmlock_core_declare_consistent`; release the lock
    /// in any case.
    OwnerDied = 1,
    /// Another contender holds the lock, and the attempts are used up or the callback gave up.
    Busy = -1,
    /// A pointer that must not be NULL is NULL.
    Null = -2,
    /// A pointer is not aligned for its type, or the region not to `SHMLOCK_CORE_REGION_ALIGN`.
    Misaligned = -3,
    /// The region has fewer than `SHMLOCK_CORE_REGION_LEN` bytes; for a ticket lock,
    /// `SHMLOCK_CORE_TICKET_LINE_LEN` more for each party.
    TooShort = -4,
    /// The memory holds a lock of another kind, or something else. Attach to it as what it is, or
    /// give the lock memory of its own; clear garbage to zero while all parties are stopped.
    NotALock = -5,
    /// The memory holds a lock of another layout version. Use the same version on all sides.
    OtherVersion = -6,
    /// The token is out of range.
    BadToken = -7,
    /// The fence scope is neither `SHMLOCK_CORE_INNER_SHAREABLE` nor `SHMLOCK_CORE_FULL_SYSTEM`.
    BadScope = -8,
    /// The handle is not attached: it is zero, was detached, or is a copy of another handle.
    NotAttached = -9,
    /// Another call on the handle is in progress: this call comes from its wait callback, or from a
    /// signal handler that interrupted it. Use a separate handle there.
    InUse = -10,
    /// The handle does not hold the lock.
    NotHeld = -11,
    /// The handle acquired the lock, but the owner word names another owner: the region was written
    /// outside the protocol, or a forked child released the lock. After a release the handle holds
    /// nothing. The word is left unchanged, because another owner may hold the lock by now.
    Overwritten = -12,
    /// The handle already holds the lock 65534 times.
    NestingTooDeep = -13,
    /// A description is not UTF-8, or has no NUL among its bytes.
    BadDescription = -14,
    /// The handle belongs to the parent, and this process is a forked child. Nothing was changed.
    /// Attach a handle with its own token in the child.
    Forked = -15,
    /// The slot is out of range, or the roll is too short for it.
    BadSlot = -16,
    /// The memory holds a lock, or something else that is no roll. Give the roll memory of its own;
    /// clear garbage to zero while all parties are stopped.
    NotARoll = -17,
    /// The memory holds a roll of another layout version. Use the same version on all sides.
    OtherRollVersion = -18,
    /// The roll has no room for one slot: `SHMLOCK_CORE_ROLL_HEAD_LEN` and
    /// `SHMLOCK_CORE_ROLL_SLOT_LEN`.
    RollTooShort = -19,
    /// The lock has tokens of boots, and this call has a plain one. Attach the handle with a boot
    /// (`shmlock_core_attach_boot`); or stop all parties and clear the region to zero.
    EpochTokens = -20,
    /// The lock has plain tokens, and this call has that of a boot. Attach the handle with a plain
    /// token (`shmlock_core_attach`); or stop all parties and clear the region to zero.
    PlainTokens = -21,
    /// A ticket lock has 2 to 8 parties, and this is another number.
    BadParties = -22,
    /// The ticket lock has no such party: they are counted from 1 to the number of parties.
    BadParty = -23,
    /// The memory holds a ticket lock for another number of parties. Use one number on all sides.
    OtherParties = -24,
    /// The handle holds the lock, and a life begins without a hold. Release it first.
    AlreadyHeld = -25,
    /// The callback did not prove the death of the party. Nothing was changed.
    NotDead = -26,
    /// An error that this version of the header does not know.
    Unknown = -127,
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        match error {
            Error::Misaligned { .. } => Self::Misaligned,
            Error::TooShort { .. } => Self::TooShort,
            Error::NotALock { .. } => Self::NotALock,
            Error::OtherVersion { found: EPOCH_VERSION } => Self::EpochTokens,
            Error::OtherVersion { .. } => Self::OtherVersion,
            Error::PlainTokens => Self::PlainTokens,
            Error::NotARoll { .. } => Self::NotARoll,
            Error::OtherRollVersion { .. } => Self::OtherRollVersion,
            Error::RollTooShort { .. } => Self::RollTooShort,
            Error::NoSuchSlot { .. } => Self::BadSlot,
            Error::Busy { .. } => Self::Busy,
            Error::InUse => Self::InUse,
            Error::OtherParties { .. } => Self::OtherParties,
            Error::NoSuchParty { .. } => Self::BadParty,
            Error::AlreadyHeld => Self::AlreadyHeld,
            Error::NotHeld => Self::NotHeld,
            Error::Overwritten { .. } => Self::Overwritten,
            Error::NestingTooDeep => Self::NestingTooDeep,
            Error::DescriptionTooLong { .. } => Self::BadDescription,
            // Guards exist in Rust only.
            _ => Self::Unknown,
        }
    }
}

impl From<Result<Self, Self>> for Status {
    fn from(result: Result<Self, Self>) -> Self {
        result.unwrap_or_else(|error| error)
    }
}

/// Returns an English sentence about a status, for logs. Accepts any number. The text is static and
/// never NULL.
///
/// Never blocks; async-signal-safe; any caller.
#[unsafe(no_mangle)]
pub extern "C" fn shmlock_core_message(status: i32) -> *const c_char {
    message(status).as_ptr()
}

#[rustfmt::skip] // a table
const MESSAGES: [(Status, &CStr); 29] = [
    (Status::Ok, c"done"),
    (Status::OwnerDied,
        c"the lock is held, but an owner died holding it; check the data, declare it consistent"),
    (Status::Busy, c"another contender holds the lock; wait longer or try again"),
    (Status::Null, c"a pointer is NULL; pass a valid address"),
    (Status::Misaligned, c"a pointer is not aligned; a region starts at a multiple of 4"),
    (Status::TooShort,
        c"the region is too short; give it 128 bytes, a ticket lock 64 more for each party"),
    (Status::NotALock,
        c"the memory is a lock of another kind, or none; give the lock memory of its own"),
    (Status::OtherVersion,
        c"the region has another layout version; use the same version on all sides"),
    (Status::BadToken,
        c"the token is out of range; give each contender its own token from 1 to 65535"),
    (Status::BadScope,
        c"the fence scope is unknown; use 0 (inner-shareable) or 1 (full system)"),
    (Status::NotAttached, c"the handle is not attached; attach it, and do not copy it"),
    (Status::InUse,
        c"the handle is in use by another call; use a separate handle in callbacks and handlers"),
    (Status::NotHeld, c"this handle does not hold the lock; acquire it first"),
    (Status::Overwritten,
        c"the owner word was overwritten during a hold; find what else writes to the region"),
    (Status::NestingTooDeep,
        c"this handle holds the lock too many times; release it as often as it is acquired"),
    (Status::BadDescription,
        c"the description is not UTF-8 or has no NUL; pass at most 63 bytes and a NUL"),
    (Status::Forked,
        c"the handle belongs to the parent process; attach one with its own token in the child"),
    (Status::BadSlot,
        c"the slot is out of range, or the roll of boots is too short for it; use 1 to 63"),
    (Status::NotARoll,
        c"the memory is a lock, or no roll of boots; give the roll memory of its own"),
    (Status::OtherRollVersion,
        c"the roll of boots has another layout version; use the same version on all sides"),
    (Status::RollTooShort,
        c"the roll of boots is too short; give it 24 bytes, and 8 more for each further slot"),
    (Status::EpochTokens,
        c"the lock has tokens of boots, and the handle's is plain; attach it with a boot"),
    (Status::PlainTokens,
        c"the lock has plain tokens, and the call is for boots; attach with a plain token"),
    (Status::BadParties, c"a ticket lock has another number of parties; use 2 to 8"),
    (Status::BadParty,
        c"the ticket lock has no such party; use a number from 1 to the number of parties"),
    (Status::OtherParties,
        c"the ticket lock is for another number of parties; use one number on all sides"),
    (Status::AlreadyHeld, c"the handle holds the lock; release it before a life begins"),
    (Status::NotDead, c"the death of the party is not proven; nothing was changed"),
    (Status::Unknown, c"the error is unknown to this version of the header; update the header"),
];

fn message(status: i32) -> &'static CStr {
    MESSAGES
        .iter()
        .find(|(known, _)| *known as i32 == status)
        .map_or(c"not a status of this library", |(_, text)| text)
}
