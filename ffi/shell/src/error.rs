//! Defines the caller's struct for the details of an error, and the error inside the library.

#![allow(unsafe_code, reason = "writes into a struct of the caller's")]

use std::ffi::c_char;
use std::time::Duration;

use crate::guarded::guarded;
use crate::pointer::checked;
use crate::status::{Status, message};
use crate::text::cut;

/// The details of an error. Each call that can fail takes a pointer to one, or NULL.
///
/// A call writes it if it returns a negative status, and leaves it alone otherwise. It need not be
/// initialised. With NULL, a call composes no text. A misaligned pointer is treated as NULL.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    /// The status that the call returned.
    pub status: Status,
    /// The errno of the system call that failed; 0 if none did.
    pub errnum: i32,
    /// The process id of the handle that kept the lock from the caller. 0 if there is none, if it
    /// is not known, or if it is of another pid namespace.
    pub holder_pid: u32,
    /// How long that handle has had the lock, in whole seconds.
    pub holder_seconds: u32,
    /// Zero.
    pub reserved: [u64; 4],
    /// What happened, to what, and what to do: one line, cut to fit, with a NUL.
    pub text: [c_char; 464],
}

const _: () = assert!(size_of::<Failure>() == 512);

/// An error on its way to the caller.
pub(crate) struct Fault {
    status: Status,
    /// Boxed: most calls return no fault.
    error: Option<Box<shmlock::Error>>,
    holder: Option<Box<shmlock::Holder>>,
}

impl Fault {
    /// Another handle, of this owner, has the lock.
    #[cold]
    pub(crate) fn busy(holder: Option<shmlock::Holder>) -> Self {
        Self { status: Status::Busy, error: None, holder: holder.map(Box::new) }
    }
}

impl From<Status> for Fault {
    #[cold]
    fn from(status: Status) -> Self {
        Self { status, error: None, holder: None }
    }
}

impl From<shmlock::Error> for Fault {
    #[cold]
    fn from(error: shmlock::Error) -> Self {
        let holder = error.holder().cloned().map(Box::new);
        Self { status: status_of(&error), error: Some(Box::new(error)), holder }
    }
}

fn status_of(error: &shmlock::Error) -> Status {
    use shmlock::Error;
    match error {
        Error::InvalidName { .. } => Status::InvalidName,
        Error::ZeroPollInterval => Status::BadOptions,
        Error::DescriptionTooLong { .. } => Status::DescriptionTooLong,
        Error::InvalidMode { .. } => Status::InvalidMode,
        Error::System { .. } => Status::System,
        Error::Unsupported { .. } => Status::Unsupported,
        Error::NotALock { .. } => Status::NotALock,
        Error::BlockMismatch { .. } => Status::OtherData,
        Error::ForeignOwner { .. } => Status::ForeignOwner,
        Error::ModeTooWide { .. } | Error::InUseWithOtherMode { .. } => Status::ModeTooWide,
        Error::OpenTimedOut { .. } => Status::OpenTimedOut,
        Error::TimedOut { waited: Duration::ZERO, .. } => Status::Busy,
        Error::TimedOut { .. } => Status::TimedOut,
        Error::Cancelled { .. } => Status::Cancelled,
        Error::Interrupted { .. } => Status::Interrupted,
        Error::WouldDeadlock { .. } => Status::WouldDeadlock,
        Error::Poisoned { .. } => Status::Poisoned,
        Error::Orphaned { .. } => Status::Orphaned,
        Error::ForkedHandle { .. } => Status::Forked,
        Error::NotHeld { .. } => Status::NotHeld,
        Error::NestingTooDeep { .. } => Status::NestingTooDeep,
        Error::Overwritten { .. } => Status::Overwritten,
        // Guards and futures exist in Rust only.
        _ => Status::Unknown,
    }
}

/// Writes the details of a fault into the caller's struct, if there is one. Returns its status.
///
/// # Safety
/// Unless it is NULL or misaligned, `to` points to writable memory for a `Failure`.
#[cold]
pub(crate) unsafe fn report(fault: &Fault, to: *mut Failure) -> Status {
    if let Ok(to) = checked(to) {
        // SAFETY:
        // - Not NULL and aligned: checked.
        // - Writable: guaranteed by the caller.
        unsafe { to.write(details(fault)) };
    }
    fault.status
}

/// Runs a call, and reports its error.
///
/// # Safety
/// The contract of [`Failure`].
pub(crate) unsafe fn answer(
    error: *mut Failure,
    call: impl FnOnce() -> Result<Status, Fault>,
) -> Status {
    // SAFETY: guaranteed by the caller.
    guarded(|| call().unwrap_or_else(|fault| unsafe { report(&fault, error) }))
}

fn details(fault: &Fault) -> Failure {
    let general = message(fault.status as i32).to_str().unwrap_or_default();
    let text = fault.error.as_ref().map(|error| {
        // The advice in words of C: the error's own names methods of Rust.
        let advice = general.split_once("; ").map(|(_, advice)| advice);
        advice.map_or_else(
            || error.message().to_string(),
            |advice| format!("{}; {advice}", error.message()),
        )
    });
    let errno = fault.error.as_ref().and_then(|error| error.errno());
    let holder = fault.holder.as_deref();
    let pid =
        holder.filter(|holder| holder.pid_is_ours() == Some(true)).and_then(shmlock::Holder::pid);
    let seconds = holder.and_then(shmlock::Holder::since).map_or(0, |since| since.as_secs());
    Failure {
        status: fault.status,
        errnum: errno.map_or(0, shmlock::Errno::raw_os_error),
        holder_pid: pid.unwrap_or(0),
        holder_seconds: u32::try_from(seconds).unwrap_or(u32::MAX),
        reserved: [0; 4],
        text: cut(text.as_deref().unwrap_or(general)),
    }
}
