//! Runs the witness: a process beside the command that reports the signals which reach it.
//!
//! A signal to the process group (a key, `kill %1`, a hangup) or to the control group (systemd's
//! `KillMode=control-group`) reaches the command by itself, and `run` must not forward it. `run`
//! must forward a signal to `run` alone. The signal itself does not tell the two apart. The witness
//! is in both groups, as the command is: a signal that reaches `run` and the witness has reached
//! the command.
//!
//! The witness only reports signals. It has no descriptor but its end of a pipe, and no part in the
//! lock. It ends with `run`, however `run` ends, prctl(2). Its name and arguments differ from those
//! of `run`: a signal that is sent by name, as pkill(1) does, must not reach both of them without
//! reaching the command.

#![allow(
    unsafe_code,
    reason = "fork, the steps of the child after it, and the memory of the arguments"
)]

use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::{fs, io, ptr};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, WaitOptions, getpid, getppid, kill_process, waitpid};

use crate::signals::{handled, set_of};

/// The witness's name and only argument, which ps(1) shows.
const NAME: &std::ffi::CStr = c"witness";

/// The length of a report: a signal's number and the sender's process id, each in four bytes.
const REPORT_LEN: usize = 8;

/// The handle of `run` on the witness, which is killed on drop.
pub(crate) struct Witness {
    pid: Pid,
    reports: fs::File,
    has_ended: bool,
    is_reaped: bool,
}

impl Witness {
    /// Starts the witness; `None` if the system has no process or no descriptor left.
    ///
    /// The caller has blocked the signals.
    pub(crate) fn start() -> Option<Self> {
        let (reports, end) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        let parent = getpid();
        // SAFETY:
        // * With --fleet this process has more threads, and the child allocates. glibc and musl
        //   (since 1.2.2) leave their allocator whole in the child, and nothing else that the child
        //   uses has a lock.
        // * The child does not return from here.
        match unsafe { libc::fork() } {
            -1 => None,
            0 => report_signals(parent, &end),
            pid => Some(Self {
                pid: Pid::from_raw(pid)?,
                reports: reports.into(),
                has_ended: false,
                is_reaped: false,
            }),
        }
    }

    /// Returns the next report: a signal and its sender. Does not block; `None` if there is none.
    pub(crate) fn next(&mut self) -> Option<(i32, u32)> {
        let mut report = [0; REPORT_LEN];
        match self.reports.read(&mut report) {
            Ok(REPORT_LEN) => {
                let (signal, sender) = report.split_at(REPORT_LEN / 2);
                Some((
                    i32::from_ne_bytes(signal.try_into().ok()?),
                    u32::from_ne_bytes(sender.try_into().ok()?),
                ))
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) =>
            {
                None
            }
            _ => {
                self.has_ended = true;
                None
            }
        }
    }

    /// Returns `true` if this signal is pending in the witness, which on a busy machine has not
    /// reported it yet. `proc_pid_status(5)`.
    pub(crate) fn is_about_to_report(&self, signal: i32) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid.as_raw_pid()))
            .unwrap_or_default();
        let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
        let pending = pending.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0);
        u32::try_from(signal - 1)
            .ok()
            .and_then(|bit| pending.checked_shr(bit))
            .is_some_and(|rest| rest & 1 == 1)
    }

    /// Returns the process id as a number.
    pub(crate) fn number(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Returns the process id.
    #[cfg(feature = "fleet")]
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Returns `true` if the witness has ended, so that no report comes.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Notes that the child of this number was reaped: if that was the witness, the number is no
    /// longer the witness's.
    pub(crate) fn was_reaped(&mut self, pid: Pid) {
        self.is_reaped |= pid == self.pid;
        self.has_ended |= self.is_reaped;
    }
}

impl AsFd for Witness {
    /// Readable when there is a report, or when the witness has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reports.as_fd()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        if !self.is_reaped {
            let _ = kill_process(self.pid, Signal::KILL);
            while let Err(Errno::INTR) = waitpid(Some(self.pid), WaitOptions::empty()) {}
        }
    }
}

/// Runs in the witness: reports signals until it is killed.
fn report_signals(parent: Pid, end: &OwnedFd) -> ! {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let set = set_of(&handled().collect::<Vec<_>>());
    // A parent that has ended meanwhile sends no signal.
    if getppid() == Some(parent) && block_all() && keep_only(end) && change_name() {
        while let Some(report) = receive(&set) {
            if rustix::io::write(end, &report).is_err_and(|errno| errno != Errno::AGAIN) {
                break;
            }
        }
    }
    // SAFETY: _exit(2) does not return and runs nothing of this program.
    unsafe { libc::_exit(0) }
}

/// Waits for one of these signals, which are blocked. sigwaitinfo(2).
fn receive(set: &libc::sigset_t) -> Option<[u8; REPORT_LEN]> {
    // SAFETY: numbers and pointers; all zero is a valid value.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: a valid set, and a valid place for the signal's information.
        let signal = unsafe { libc::sigwaitinfo(set, &raw mut info) };
        if signal > 0 {
            // SAFETY: the kernel has zeroed the fields that it does not fill; any number is valid.
            let sender = unsafe { info.si_pid() }.unsigned_abs();
            let mut report = [0; REPORT_LEN];
            report[..4].copy_from_slice(&signal.to_ne_bytes());
            report[4..].copy_from_slice(&sender.to_ne_bytes());
            return Some(report);
        }
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return None;
        }
    }
}

/// Blocks every signal, so that only SIGKILL ends the witness.
fn block_all() -> bool {
    let mut all = set_of(&[]);
    // SAFETY: sigfillset writes a whole set through a valid pointer.
    unsafe { libc::sigfillset(&raw mut all) };
    // SAFETY: a valid set, and null for the former one.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, ptr::null_mut()) == 0 }
}

/// Closes every descriptor but this one: the lifeline, and pipes whose readers wait for their end.
fn keep_only(end: &OwnedFd) -> bool {
    let Ok(descriptors) = fs::read_dir("/proc/self/fd") else { return false };
    let numbers: Vec<libc::c_int> =
        descriptors.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|number| *number != end.as_raw_fd()) {
        // SAFETY: this process uses none of them any more, and never drops their owners. One is the
        // directory's, which is closed already.
        unsafe { libc::close(number) };
    }
    true
}

/// Changes the name, prctl(2), and the arguments, which proc(5) reads from memory: ps(1) and
/// pkill(1) see both.
fn change_name() -> bool {
    let arguments = arguments().filter(|(_, len)| *len > NAME.count_bytes());
    let Some((start, len)) = arguments else { return false };
    let start = ptr::with_exposed_provenance_mut::<u8>(start);
    // SAFETY:
    // * The kernel says that the arguments of this process are there: writable memory of its own.
    // * Nothing in the witness reads them.
    unsafe { ptr::write_bytes(start, 0, len) };
    // SAFETY: as above; and the name is shorter, so that a zero is left at the end.
    unsafe { ptr::copy_nonoverlapping(NAME.as_ptr().cast(), start, NAME.count_bytes()) };
    rustix::thread::set_name(NAME).is_ok()
}

/// Returns where the arguments are and how long they are: `arg_start` and `arg_end` of
/// `proc_pid_stat(5)`.
fn arguments() -> Option<(usize, usize)> {
    let line = fs::read_to_string("/proc/self/stat").ok()?;
    // The name may have spaces. The state, which is field 3, follows it.
    let (_, fields) = line.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(48 - 3).map(str::parse::<usize>);
    let (start, end) = (fields.next()?.ok()?, fields.next()?.ok()?);
    end.checked_sub(start).filter(|_| start != 0).map(|len| (start, len))
}
