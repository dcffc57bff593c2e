//! Starting the command under the lock, and being there until it ends.

#![allow(unsafe_code, reason = "fork, and what a child does between that and exec")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, FdFlags, fcntl_setfd, retry_on_intr};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, WaitOptions, WaitStatus, getpgid, getpgrp, wait, waitpid};

use crate::exit::{BY_SIGNAL, Ending};
use crate::inherited;
use crate::signals::{Arrived, Mask, Sent, Signals, block, send};
use crate::witness::Witness;

/// How long a signal may take to the witness. A sender that goes through a control group needs some
/// microseconds from one process to the next. So much later a signal to `run` alone reaches the
/// command. Arbitrary: no more than a person notices.
const BEHIND: Duration = Duration::from_millis(100);

/// How long it may take if the sender has still work to do: on a busy machine it may be anywhere
/// between two processes.
const FAR_BEHIND: Duration = Duration::from_secs(1);

/// How often to look then. Arbitrary, see above.
const LOOK: Duration = Duration::from_millis(20);

/// The command as it runs.
pub(crate) struct Running {
    pid: Pid,
    witness: Option<Witness>,
    /// Signals of which it is not known yet whether they have reached the command, and since when.
    doubtful: Vec<(Sent, Instant)>,
    /// What the witness has reported lately: signal, sender, and when.
    reported: Vec<(i32, u32, Instant)>,
    /// Which signals were sent to this process, one bit each.
    told: u64,
}

impl Running {
    /// Starts the command with this signal mask. A lifeline, if given, is open in it and in no
    /// other child.
    ///
    /// No signal is lost or comes twice meanwhile. The child waits, with signals blocked, until the
    /// witness is there and has all signals that have come to this process: what it has already as
    /// well becomes one with that. What comes after the witness is there, and to it, has come to
    /// the child.
    pub(crate) fn start(
        mut command: Command,
        mask: Mask,
        lifeline: Option<BorrowedFd<'_>>,
        signals: &Signals,
    ) -> io::Result<Self> {
        prepare(&mut command, mask, lifeline);
        let ((may_go, go), (failure, failed)) =
            (pipe_with(PipeFlags::CLOEXEC)?, pipe_with(PipeFlags::CLOEXEC)?);
        // SAFETY:
        // * This process has one thread, so that the child finds nothing half-way.
        // * The child does not return from here.
        let pid = match unsafe { libc::fork() } {
            -1 => return Err(io::Error::last_os_error()),
            0 => {
                drop((go, failure));
                become_when_told(command, &may_go, &failed)
            }
            pid => Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidData)?,
        };
        drop((may_go, failed));
        let witness = Witness::start();
        let mut running =
            Self { pid, witness, doubtful: Vec::new(), reported: Vec::new(), told: 0 };
        while let Some(arrived) = signals.next()? {
            if let Arrived::Sent(sent) = arrived {
                running.tell(sent.signal);
            }
        }
        let _ = rustix::io::write(&go, &[1]); // a child that was killed meanwhile has an end, which is waited for
        let mut errno = [0; size_of::<i32>()];
        // The end of the file is the beginning of the command, or its end.
        if retry_on_intr(|| rustix::io::read(&failure, &mut errno))? == 0 {
            return Ok(running);
        }
        let _ = retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()));
        Err(io::Error::from_raw_os_error(i32::from_ne_bytes(errno)))
    }

    /// Waits for its end. Signals that were sent to this process alone are passed on.
    pub(crate) fn wait(&mut self, signals: &Signals) -> io::Result<Ending> {
        loop {
            if let Some(status) = self.reap()? {
                while let Some(arrived) = signals.next()? {
                    self.note(arrived);
                }
                return Ok(self.ending(status));
            }
            self.sleep(signals)?;
            self.hear();
            while let Some(arrived) = signals.next()? {
                if let (Arrived::Sent(sent), true) = (arrived, self.note(arrived)) {
                    self.doubtful.push((sent, Instant::now()));
                }
            }
            self.judge();
        }
    }

    /// Waits for children that have ended: the command, and orphans that have become ours. Returns
    /// the command's status.
    fn reap(&mut self) -> io::Result<Option<WaitStatus>> {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.pid => return Ok(Some(status)),
                Ok(Some((pid, _))) => {
                    self.witness.iter_mut().for_each(|witness| witness.was_reaped(pid))
                }
                Ok(None) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Sleeps until something arrives, or a doubtful signal has waited for long enough.
    fn sleep(&self, signals: &Signals) -> io::Result<()> {
        let mut ready = vec![PollFd::new(signals, PollFlags::IN)];
        ready.extend(self.witness.iter().map(|witness| PollFd::new(witness, PollFlags::IN)));
        let left = |since: &Instant| BEHIND.checked_sub(since.elapsed()).unwrap_or(LOOK);
        let left = self.doubtful.iter().map(|(_, since)| left(since)).min();
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut ready, left.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Notes what the witness reports; dismisses it if it has ended.
    fn hear(&mut self) {
        let Some(witness) = &mut self.witness else { return };
        let now = Instant::now();
        while let Some((signal, sender)) = witness.next() {
            self.reported.push((signal, sender, now));
        }
        if witness.has_ended() {
            self.witness = None;
        }
        self.reported.retain(|(.., when)| when.elapsed() <= BEHIND);
    }

    /// Notes that a signal was sent to this process; returns `true` if it was one.
    fn note(&mut self, arrived: Arrived) -> bool {
        if let Arrived::Sent(sent) = arrived {
            self.told |= bit(sent.signal);
        }
        matches!(arrived, Arrived::Sent(_))
    }

    /// Decides on the doubtful signals for which that can be done.
    fn judge(&mut self) {
        let doubtful = std::mem::take(&mut self.doubtful);
        for (sent, since) in doubtful {
            let is_timer = sent.by_kernel && sent.signal == libc::SIGALRM;
            let age = since.elapsed();
            let of_group = match &self.witness {
                // The same report may answer for two: signals that are alike and pending become
                // one.
                Some(witness) => {
                    self.reported
                        .iter()
                        .any(|(signal, by, _)| (*signal, *by) == (sent.signal, sent.sender))
                        || (age >= BEHIND && witness.is_about_to_report(sent.signal))
                }
                None => sent.by_kernel && !is_timer,
            };
            let may_become_of_group = self.witness.is_some()
                && !is_timer
                && (age < BEHIND || (age < FAR_BEHIND && is_at_work(sent.sender)));
            if of_group && self.is_with_us(sent) {
                continue;
            }
            if of_group || !may_become_of_group {
                self.tell(sent.signal);
            } else {
                self.doubtful.push((sent, since));
            }
        }
    }

    /// Returns `true` if the command is in the groups by which a signal reaches this process and
    /// the witness.
    ///
    /// The kernel sends to process groups. Of any other sender it is not known which group it
    /// means.
    fn is_with_us(&self, sent: Sent) -> bool {
        let control_group = |process: &str| std::fs::read(format!("/proc/{process}/cgroup")).ok();
        getpgid(Some(self.pid)).is_ok_and(|group| group == getpgrp())
            && (sent.by_kernel || control_group("self") == control_group(&self.pid.to_string()))
    }

    /// Passes a signal on.
    fn tell(&mut self, signal: i32) {
        self.told |= bit(signal);
        send(self.pid, signal);
    }

    /// Returns how this process is to end, now that the command has: by the same signal if both
    /// were sent it, else as flock(1) and shells do.
    fn ending(&self, status: WaitStatus) -> Ending {
        if let Some(signal) = status.terminating_signal() {
            if self.told & bit(signal) != 0 {
                return Ending::Signal(signal);
            }
        }
        let code = status
            .exit_status()
            .or_else(|| Some(status.terminating_signal()? + i32::from(BY_SIGNAL)));
        Ending::Code(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
    }
}

/// Returns `true` if a thread of this process runs or is ready to run, `proc_pid_stat(5)`.
fn is_at_work(process: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten();
    threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("stat")).ok()).any(
        |stat| {
            stat.rsplit_once(')').is_some_and(|(_, fields)| fields.trim_start().starts_with('R')) // its state
        },
    )
}

/// A signal as one bit. Of those beyond the 63rd none is ever told.
fn bit(signal: i32) -> u64 {
    u32::try_from(signal).ok().and_then(|signal| 1_u64.checked_shl(signal)).unwrap_or(0)
}

/// What the child does until it is the command; or says why it cannot be.
fn become_when_told(mut command: Command, may_go: &OwnedFd, failed: &OwnedFd) -> ! {
    if matches!(rustix::io::read(may_go, &mut [0]), Ok(1)) {
        let errno = command.exec().raw_os_error().unwrap_or(libc::EINVAL);
        let _ = rustix::io::write(failed, &errno.to_ne_bytes());
    }
    // SAFETY: _exit(2) does not return and runs nothing of this program.
    unsafe { libc::_exit(1) }
}

/// Becomes the command, with this signal mask and the lifeline open. Returns only if that fails;
/// then signals are blocked.
pub(crate) fn become_program(
    mut command: Command,
    mask: Mask,
    lifeline: BorrowedFd<'_>,
) -> io::Error {
    prepare(&mut command, mask, Some(lifeline));
    let error = command.exec();
    block();
    error
}

/// Has the process that is to become the command do, just before it does: what `run` has changed is
/// as it was.
fn prepare(command: &mut Command, mask: Mask, lifeline: Option<BorrowedFd<'_>>) {
    let lifeline = lifeline.map(|line| line.as_raw_fd());
    let undo = move || {
        if let Some(line) = lifeline {
            // SAFETY: open here, for it was open when the parent forked, and the child has closed
            // nothing.
            let line = unsafe { BorrowedFd::borrow_raw(line) };
            fcntl_setfd(line, FdFlags::empty())?;
        }
        inherited::restore();
        mask.restore();
        Ok(())
    };
    // SAFETY: all steps are async-signal-safe and allocate nothing: fcntl(2), signal(2), close(2)
    // and sigprocmask(2).
    unsafe { command.pre_exec(undo) };
}
