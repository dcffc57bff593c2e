//! Traces a child, ptrace(2), and waits for its stops, wait(2).

#![allow(unsafe_code, reason = "ptrace and waitpid")]

use std::io;

use super::machine;
use crate::hostile::fork;
use crate::proc;

#[cfg(target_env = "musl")]
pub(super) type Request = libc::c_int;
#[cfg(not(target_env = "musl"))]
pub(super) type Request = libc::c_uint;

/// Makes a request, ptrace(2).
pub(super) fn request(
    what: Request,
    pid: libc::pid_t,
    address: usize,
    data: usize,
) -> io::Result<libc::c_long> {
    // SAFETY: the requests used here read and write no memory of ours.
    let answer = unsafe { libc::ptrace(what, pid, address, data) };
    if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// Returns `true` if a child can be stopped at each instruction here. Forks a child to find out.
pub(crate) fn is_possible() -> bool {
    machine::IS_KNOWN && proc::shows_calls() && is_permitted()
}

fn is_permitted() -> bool {
    let child = fork(|line| line.say(i64::from(request(libc::PTRACE_TRACEME, 0, 0, 0).is_ok())));
    let permitted = child.line().hear() == 1;
    child.ends_well();
    permitted
}

/// Waits for the next change of the child's state; with `WNOHANG`, returns `None` if there is none.
pub(super) fn wait_for(pid: libc::pid_t, options: libc::c_int) -> Option<libc::c_int> {
    let mut status = 0;
    // SAFETY: a valid pointer, and a child of this thread.
    let answer = unsafe { libc::waitpid(pid, &raw mut status, options) };
    assert_ne!(answer, -1, "waitpid: {}", io::Error::last_os_error());
    (answer == pid).then_some(status)
}

/// Returns the status of a child that this signal stopped, wait(2).
pub(super) fn stop_by(signal: libc::c_int) -> libc::c_int {
    (signal << 8) | 0x7f
}
