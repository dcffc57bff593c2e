//! Exports the exit handlers.

#![allow(unsafe_code, reason = "exports a symbol by its name and takes a pointer from C")]

use std::time::Duration;

use shmlock::ExitHandlers;

use crate::error::{Failure, answer};
use crate::status::Status;

/// Exit handlers: on exit(3), and on return from `main`.
pub const SHMLOCK_AT_EXIT: u32 = 1;
/// Exit handlers: on death by SIGINT, SIGTERM or SIGHUP.
pub const SHMLOCK_AT_SIGNALS: u32 = 2;

/// Has this process release its locks when it exits, or dies by SIGINT, SIGTERM or SIGHUP. `when`
/// is `SHMLOCK_AT_EXIT`, `SHMLOCK_AT_SIGNALS`, or both.
///
/// Safety does not depend on it: a dead owner's lock is recovered in any case. It spares the next
/// owner some of the wait. On exit, the locks of the exiting thread are released. By a signal,
/// those of each thread, for which the process waits at most `grace_ns`; 0 is the default, 100 ms.
/// Such a release tells the next owner of a death. A handler that the program has installed for
/// such a signal stays in place, and decides. Does not block; any thread; a second call is allowed.
///
/// Returns `SHMLOCK_STATUS_OK`; `_BAD_OPTIONS` for another `when`; `_SYSTEM`.
///
/// # Safety
/// For `error`: see `shmlock_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shmlock_install_exit_handlers(
    when: u32,
    grace_ns: u64,
    error: *mut Failure,
) -> Status {
    let install = || {
        let handlers = match when {
            SHMLOCK_AT_EXIT => ExitHandlers::at_exit(),
            SHMLOCK_AT_SIGNALS => ExitHandlers::signals(),
            BOTH => ExitHandlers::all(),
            _ => return Err(Status::BadOptions.into()),
        };
        let handlers = match grace_ns {
            0 => handlers,
            grace => handlers.grace(Duration::from_nanos(grace)),
        };
        Ok(handlers.install().map(|()| Status::Ok)?)
    };
    // SAFETY: guaranteed by the caller.
    unsafe { answer(error, install) }
}

const BOTH: u32 = SHMLOCK_AT_EXIT | SHMLOCK_AT_SIGNALS;
