//! Sends signals, kill(2).

#![allow(unsafe_code, reason = "kill(2) takes numbers")]

/// Sends `signal` to a process that has not been waited for, or to a thread by its id.
pub(crate) fn send_signal(pid: u32, signal: i32) {
    let pid = libc::pid_t::try_from(pid).expect("a process id");
    // SAFETY: kill(2) checks its numbers, and touches no memory of ours.
    let answer = unsafe { libc::kill(pid, signal) };
    assert_eq!(answer, 0, "no process {pid} to send signal {signal} to");
}
