//! Starting a program under the lock, and being there until it ends.

#![allow(unsafe_code, reason = "what a child does between fork and exec")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};

use rustix::io::{FdFlags, fcntl_setfd};

use crate::exit::BY_SIGNAL;
use crate::signals::{Arrived, Mask, Signals, send};

/// Starts it with this signal mask. A lifeline, if given, is open in it and in no other child.
pub(crate) fn start(mut command: Command, mask: Mask, lifeline: Option<BorrowedFd<'_>>) -> io::Result<Child> {
    let lifeline = lifeline.map(|line| line.as_raw_fd());
    let prepare = move || {
        if let Some(line) = lifeline {
            // SAFETY: open here, for it was open when the parent forked, and the child has closed nothing.
            let line = unsafe { BorrowedFd::borrow_raw(line) };
            fcntl_setfd(line, FdFlags::empty())?;
        }
        mask.restore();
        Ok(())
    };
    // SAFETY: both steps are async-signal-safe and allocate nothing: one fcntl(2) and one sigprocmask(2).
    unsafe { command.pre_exec(prepare) };
    command.spawn()
}

/// Becomes the program, with this signal mask and the lifeline open. Comes back only if that fails.
pub(crate) fn become_program(mut command: Command, mask: Mask, lifeline: BorrowedFd<'_>) -> io::Error {
    if let Err(errno) = fcntl_setfd(lifeline, FdFlags::empty()) {
        return errno.into();
    }
    mask.restore();
    command.exec()
}

/// Waits for its end. Signals that are sent to us are sent on.
pub(crate) fn wait(child: &mut Child, signals: &Signals) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        match signals.next()? {
            Arrived::Child | Arrived::FromTerminal(_) => {}
            Arrived::Sent(signal) => send(child.id(), signal),
        }
    }
}

/// The exit status that tells how it ended, as a shell would have it.
pub(crate) fn code_of(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| signal + i32::from(BY_SIGNAL)));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}
