//! Exports the removal of files that dead processes left.

#![allow(unsafe_code, reason = "exports symbols by their names and takes pointers from C")]

use std::ffi::c_char;

use shmlock::{CleanOutcome, DiedFlag, ExitEvent};

use crate::error::{Failure, answer};
use crate::options::{self, Options};
use crate::pointer::{checked, write};
use crate::status::Status;
use crate::text;

/// The outcome of cleaning.
#[repr(i32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleaned {
    /// No process had it open, and it was free. The file was removed.
    Removed = 0,
    /// No process had it open, and an owner had died. The file was removed, and the news of the
    /// death with it.
    RemovedAfterDeath = 1,
    /// There is no such lock or event.
    Absent = 2,
    /// A process has it open. The file is unchanged.
    InUse = 3,
    /// An owner died, and no later owner has declared the data consistent. The file is unchanged.
    OwnerDied = 4,
    /// An owner holds it that is no handle of this library. The file is unchanged.
    HeldByOther = 5,
    /// The file has a second name, or the name got another file meanwhile. Nothing was removed.
    LinkedElsewhere = 6,
    /// An outcome that this version of the header does not know.
    Unknown = 127,
}

impl From<CleanOutcome> for Cleaned {
    fn from(outcome: CleanOutcome) -> Self {
        match outcome {
            CleanOutcome::Removed => Self::Removed,
            CleanOutcome::RemovedAfterCrash(_) => Self::RemovedAfterDeath,
            CleanOutcome::Absent => Self::Absent,
            CleanOutcome::InUse => Self::InUse,
            CleanOutcome::OwnerDied(_) => Self::OwnerDied,
            CleanOutcome::HeldByStaticToken => Self::HeldByOther,
            CleanOutcome::LinkedElsewhere => Self::LinkedElsewhere,
            _ => Self::Unknown,
        }
    }
}

/// Removes the file of the lock of this name if no process has it open. With `forget_death`, also
/// if an owner has died: the next owner is not told then, and fencing tokens begin at 1 again. Of
/// `options`, only the directory counts.
///
/// Never blocks; not async-signal-safe; a cancellation point. Openers wait during the call.
///
/// Returns `SHMLOCK_STATUS_OK`, with the outcome in `cleaned`; `_NULL`, `_MISALIGNED`,
/// `_BAD_OPTIONS`, `_BAD_TEXT`, `_INVALID_NAME`, `_NOT_A_LOCK`, `_UNSUPPORTED`, `_SYSTEM`: nothing
/// was removed.
///
/// # Safety
/// `name` is NULL or a string. For `options`: see `shmlock_open`. Unless it is refused, `cleaned`
/// points to a `shmlock_cleaned`. For `error`: see `shmlock_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_clean(
    name: *const c_char,
    options: *const Options,
    forget_death: bool,
    cleaned: *mut Cleaned,
    error: *mut Failure,
) -> Status {
    let clean = || {
        checked(cleaned)?;
        let flag = if forget_death { DiedFlag::Remove } else { DiedFlag::Keep };
        // SAFETY: guaranteed by the caller.
        let outcome = unsafe { options::builder_from_outside(name, options) }?.clean(flag)?;
        // SAFETY: guaranteed by the caller.
        unsafe { write(cleaned, outcome.into()) }?;
        Ok(Status::Ok)
    };
    // SAFETY: guaranteed by the caller.
    unsafe { answer(error, clean) }
}

/// Removes the file of the exit event of this name if no process has it open. `directory` is NULL
/// for `/dev/shm`. Otherwise as `shmlock_clean`.
///
/// # Safety
/// `name` and `directory` are NULL or strings. Unless it is refused, `cleaned` points to a
/// `shmlock_cleaned`. For `error`: see `shmlock_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_clean_event(
    name: *const c_char,
    directory: *const c_char,
    cleaned: *mut Cleaned,
    error: *mut Failure,
) -> Status {
    let clean = || {
        checked(cleaned)?;
        // SAFETY: guaranteed by the caller.
        let name = unsafe { text::name(name) }?;
        // SAFETY: guaranteed by the caller.
        let outcome = ExitEvent::clean_in(name, unsafe { text::directory(directory) })?;
        // SAFETY: guaranteed by the caller.
        unsafe { write(cleaned, outcome.into()) }?;
        Ok(Status::Ok)
    };
    // SAFETY: guaranteed by the caller.
    unsafe { answer(error, clean) }
}
