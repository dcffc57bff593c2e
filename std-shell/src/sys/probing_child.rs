//! Runs a child that accesses memory which may fault or hang, and watches it: fork(2), waitpid(2).
//!
//! The child makes system calls and accesses one word; it allocates nothing, runs no handler of the
//! program (every signal is blocked in it, except those of faults, which have no handler), dumps no
//! core, and dies with the thread that watches it. It reports each step by a pipe before the next
//! one, so that the parent knows how far a child has come that died or hangs.

#![allow(unsafe_code, reason = "fork, and the steps of a child that accesses raw memory")]

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, retry_on_intr, write};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::sys::clock::BootInstant;
use crate::sys::signal_mask::with_all_blocked;

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChildEnd {
    /// By its own `_exit(2)`; or it was reaped elsewhere, and how it ended is not known.
    Done,
    /// By this signal.
    Signal(i32),
    /// Not within the time. It was sent `SIGKILL`, and is gone if the flag is `true`. Otherwise it
    /// stays a zombie after its end.
    TooLate { gone: bool },
}

/// A step of a child: a number of its kind, and a value.
pub(crate) type Step = [u32; 2];

/// How long the parent waits for a child that was sent `SIGKILL`. A child whose access hangs in the
/// interconnect is not killed before the access ends. Arbitrary; no benchmark would change it.
const KILL_TIME: Duration = Duration::from_secs(1);

/// How often a child is asked whether it lives, in case that another program has inherited the
/// pipe. Arbitrary, as above.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Runs `act` in a child for at most `bound`, and returns its steps and its end.
///
/// # Errors
/// The operation that failed: "fork", "watch".
///
/// # Safety
///
/// `act` is async-signal-safe, and what it accesses may be accessed by a child. It may fault or
/// hang. It reports by its argument.
pub(crate) unsafe fn run(
    bound: Duration,
    act: impl FnOnce(&dyn Fn(Step)),
) -> Result<(Vec<Step>, ChildEnd), (&'static str, Errno)> {
    let (reports, report) = pipe_with(PipeFlags::CLOEXEC).map_err(|errno| ("fork", errno))?;
    // SAFETY: getpid(2) takes nothing.
    let parent = unsafe { libc::getpid() };
    // The child never comes out of it: its mask stays.
    let forked = with_all_blocked(|| {
        // SAFETY: the child makes system calls and what the caller promises, and does not return.
        match unsafe { libc::fork() } {
            -1 => Err(std::io::Error::last_os_error()),
            0 => {
                prepare(parent);
                act(&|step| send(report.as_fd(), step));
                // SAFETY: ends the child without running the program's exit handlers.
                unsafe { libc::_exit(0) }
            }
            pid => Ok(pid),
        }
    });
    let pid = forked
        .map_err(|error| ("fork", Errno::from_io_error(&error).unwrap_or(Errno::AGAIN)))
        .and_then(|pid| Pid::from_raw(pid).ok_or(("fork", Errno::CHILD)))?;
    drop(report);
    let mut bytes = Vec::new();
    let end = watch(pid, reports.as_fd(), bound, &mut bytes).map_err(|errno| ("watch", errno))?;
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_ne_bytes);
    let steps = bytes.chunks_exact(size_of::<Step>());
    Ok((steps.map(|step| [word(&step[..4]), word(&step[4..])]).collect(), end))
}

/// Makes the child harmless. Async-signal-safe.
fn prepare(parent: libc::pid_t) {
    // The signals that the mask leaves unblocked.
    for signal in
        [libc::SIGBUS, libc::SIGSEGV, libc::SIGILL, libc::SIGFPE, libc::SIGSYS, libc::SIGTRAP]
    {
        // SAFETY: the default action is no handler.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: prctl(2) with two numbers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    // A parent that died before that sends no signal. 0: it is outside our pid namespace.
    // SAFETY: getppid(2) takes nothing.
    if ![0, parent].contains(&unsafe { libc::getppid() }) {
        // SAFETY: as in `run`.
        unsafe { libc::_exit(0) };
    }
    // SAFETY: prctl(2) with two numbers: no core is dumped.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
}

/// Reports a step. A parent that has died does not need it.
fn send(report: BorrowedFd<'_>, step: Step) {
    let mut bytes = [0; size_of::<Step>()];
    let words = step.into_iter().flat_map(u32::to_ne_bytes);
    bytes.iter_mut().zip(words).for_each(|(byte, of_word)| *byte = of_word);
    // Shorter than PIPE_BUF, so it is written whole, pipe(7).
    let _ = retry_on_intr(|| write(report, &bytes));
}

/// Collects the reports until the child has ended, or kills it when the time is over.
fn watch(
    pid: Pid,
    reports: BorrowedFd<'_>,
    bound: Duration,
    bytes: &mut Vec<u8>,
) -> Result<ChildEnd, Errno> {
    let end = collect(pid, reports, bound, bytes)?;
    if end != (ChildEnd::TooLate { gone: false }) {
        return Ok(end);
    }
    // It may have ended just now. Unless the kernel or other code has reaped it, which `collect`
    // explains, its id is still its own.
    let _ = kill_process(pid, Signal::KILL);
    match collect(pid, reports, KILL_TIME, bytes)? {
        ChildEnd::Signal(libc::SIGKILL) => Ok(ChildEnd::TooLate { gone: true }),
        // It still hangs, or it had ended by itself just before, and was in time after all.
        end => Ok(end),
    }
}

fn collect(
    pid: Pid,
    reports: BorrowedFd<'_>,
    bound: Duration,
    bytes: &mut Vec<u8>,
) -> Result<ChildEnd, Errno> {
    let deadline = BootInstant::now().after(bound);
    let mut is_open = true;
    loop {
        let ended = match retry_on_intr(|| waitpid(Some(pid), WaitOptions::NOHANG)) {
            Ok(ended) => ended.map(|(_, status)| status.terminating_signal()),
            // The kernel has reaped it, because the process ignores SIGCHLD, or other code has. How
            // it ended is lost, and its steps tell the rest.
            Err(Errno::CHILD) => Some(None),
            Err(errno) => return Err(errno),
        };
        // All that it has reported is in the pipe by now.
        while is_open && is_readable(reports, Duration::ZERO)? {
            is_open = receive(reports, bytes)?;
        }
        if let Some(signal) = ended {
            return Ok(signal.map_or(ChildEnd::Done, ChildEnd::Signal));
        }
        let left = deadline.since(BootInstant::now());
        if left.is_zero() {
            return Ok(ChildEnd::TooLate { gone: false });
        }
        let interval = left.min(CHECK_INTERVAL);
        if is_open {
            is_readable(reports, interval)?;
        } else {
            // The pipe has ended: the child is about to.
            std::thread::yield_now();
        }
    }
}

/// Waits until the pipe has a report or has ended, poll(2).
fn is_readable(reports: BorrowedFd<'_>, time: Duration) -> Result<bool, Errno> {
    let time = Timespec::try_from(time).map_err(|_| Errno::INVAL)?;
    match poll(&mut [PollFd::new(&reports, PollFlags::IN)], Some(&time)) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Reads what the pipe has; returns `false` at its end.
fn receive(reports: BorrowedFd<'_>, bytes: &mut Vec<u8>) -> Result<bool, Errno> {
    let mut some = [0; 64];
    let count = retry_on_intr(|| read(reports, &mut some))?;
    bytes.extend_from_slice(some.get(..count).unwrap_or_default());
    Ok(count > 0)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::sync::atomic::Ordering::Relaxed;
    use std::time::Duration;

    use shmlock_tests::{Capability, can};

    use super::{ChildEnd, run};

    /// Longer than any test takes.
    const LONG: Duration = Duration::from_secs(600);

    fn die() {
        // SAFETY: raise(3) takes a number.
        unsafe { libc::raise(libc::SIGBUS) };
    }

    fn hang() {
        loop {
            // SAFETY: pause(2) takes nothing.
            unsafe { libc::pause() };
        }
    }

    #[test]
    fn the_steps_of_a_child_arrive_in_order_and_its_end_is_known() {
        if !can(Capability::ForkDuringCalls) {
            return;
        }
        // SAFETY: the child makes system calls only.
        let ran = unsafe { run(LONG, |report| (0..20).for_each(|n| report([n, u32::MAX - n]))) };
        let steps = (0..20).map(|n| [n, u32::MAX - n]).collect();
        assert_eq!(ran, Ok((steps, ChildEnd::Done)));
    }

    #[test]
    fn a_child_that_dies_by_a_signal_leaves_the_steps_before() {
        if !can(Capability::ForkDuringCalls) {
            return;
        }
        // SAFETY: the child makes system calls only.
        let ran = unsafe {
            run(LONG, |report| {
                report([1, 2]);
                die();
                report([3, 4]);
            })
        };
        assert_eq!(ran, Ok((vec![[1, 2]], ChildEnd::Signal(libc::SIGBUS))));
    }

    #[test]
    fn a_child_that_other_code_reaps_has_told_its_steps_and_no_end() {
        shmlock_tests::alone!(|| {
            if !can(Capability::ForkDuringCalls) {
                return;
            }
            // SAFETY: ignores a signal, in a process of the test's own: the kernel reaps children.
            unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
            // SAFETY: the child makes system calls only.
            let ran = unsafe {
                run(LONG, |report| {
                    report([1, 2]);
                    die();
                })
            };
            assert_eq!(ran, Ok((vec![[1, 2]], ChildEnd::Done)));
        });
    }

    #[test]
    fn a_child_runs_no_handler_of_the_program() {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        extern "C" fn count(_signal: libc::c_int) {
            // Partner: the loads below. Relaxed: one thread, or the child's own copy.
            RUNS.fetch_add(1, Relaxed);
        }
        fn ask_to_end() {
            // SAFETY: raise(3) takes a number.
            unsafe { libc::raise(libc::SIGTERM) };
        }
        shmlock_tests::alone!(|| {
            if !can(Capability::ForkDuringCalls) {
                return;
            }
            let handler: extern "C" fn(libc::c_int) = count;
            // SAFETY: the handler is async-signal-safe; a process of the test's own.
            unsafe { libc::signal(libc::SIGTERM, handler as libc::sighandler_t) };
            // SAFETY: the child makes system calls only.
            let ran = unsafe {
                run(LONG, |report| {
                    ask_to_end();
                    report([1, RUNS.load(Relaxed)]);
                })
            };
            assert_eq!(ran, Ok((vec![[1, 0]], ChildEnd::Done)));
            ask_to_end();
            assert_eq!(RUNS.load(Relaxed), 1, "the parent has its mask again");
        });
    }

    #[test]
    fn a_child_that_hangs_is_killed_when_its_time_is_over() {
        if !can(Capability::ForkDuringCalls) {
            return;
        }
        // SAFETY: the child makes system calls only.
        let ran = unsafe {
            run(Duration::from_millis(20), |report| {
                report([1, 2]);
                hang();
            })
        };
        let (steps, end) = ran.expect("a child");
        // On a machine that is slow enough it is killed before its first step.
        assert!(steps.is_empty() || steps == [[1, 2]], "{steps:?}");
        assert_eq!(end, ChildEnd::TooLate { gone: true });
    }
}
