//! Starts the command under the lock, forwards signals to it, and waits for its end.

#![allow(unsafe_code, reason = "fork, and the steps of a child between fork and exec")]

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, FdFlags, fcntl_setfd, retry_on_intr};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpgid, getpgrp, set_parent_process_death_signal, wait,
    waitpid,
};

use crate::exec::Image;
use crate::exit::{BY_SIGNAL, Ending};
use crate::inherited;
use crate::signals::{Arrived, Mask, Sent, Signals, block, send};
use crate::witness::Witness;

/// The time in which the witness reports a signal that reaches more than `run`: a sender that goes
/// through a control group needs microseconds from one process to the next. A signal to `run` alone
/// reaches the command this much later. Arbitrary: a person does not notice it.
const REPORT_TIME: Duration = Duration::from_millis(100);

/// The same while the sender has work to do: on a busy machine it may be preempted between two
/// processes.
const BUSY_REPORT_TIME: Duration = Duration::from_secs(1);

/// The interval of checks then. Arbitrary, see above.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// A command before it runs.
pub(crate) struct Plan<'a> {
    pub(crate) image: Image,
    /// The signal mask of the command.
    pub(crate) mask: Mask,
    /// Open in the command and in no other child.
    pub(crate) lifeline: Option<BorrowedFd<'a>>,
    /// `true` if the kernel kills the command when this process ends before it.
    pub(crate) dies_with_us: bool,
}

/// The command as it runs.
pub(crate) struct Running {
    pid: Pid,
    witness: Option<Witness>,
    /// Signals that may or may not have reached the command, and the time of their arrival.
    undecided: Vec<(Sent, Instant)>,
    /// The witness's latest reports: signal, sender, and time.
    reported: Vec<(i32, u32, Instant)>,
    /// The signals that were sent to this process, one bit each.
    received: u64,
}

impl Running {
    /// Starts the command.
    ///
    /// No signal is lost or arrives twice meanwhile. The child waits with signals blocked until the
    /// witness runs and this process has forwarded all signals that have arrived. A signal that the
    /// child has already and the forwarded one are pending together, and so become one. A later
    /// signal that reaches the witness has reached the child, too.
    pub(crate) fn start(plan: &Plan<'_>, signals: &Signals) -> io::Result<Self> {
        let ((may_go, go), (failure, failed)) =
            (pipe_with(PipeFlags::CLOEXEC)?, pipe_with(PipeFlags::CLOEXEC)?);
        // SAFETY:
        // * The child makes system calls only, so that it does not matter what another thread of
        //   this process has left half-way.
        // * The child does not return from here.
        let pid = match unsafe { libc::fork() } {
            -1 => return Err(io::Error::last_os_error()),
            0 => {
                drop((go, failure));
                become_when_allowed(plan, &may_go, &failed)
            }
            pid => Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidData)?,
        };
        drop((may_go, failed));
        let witness = Witness::start();
        let mut running =
            Self { pid, witness, undecided: Vec::new(), reported: Vec::new(), received: 0 };
        while let Some(arrived) = signals.next()? {
            if let Arrived::Sent(sent) = arrived {
                running.forward(sent.signal);
            }
        }
        let _ = rustix::io::write(&go, &[1]); // fails if the child was killed meanwhile
        let mut errno = [0; size_of::<i32>()];
        // The pipe ends when the child has become the command, or was killed.
        if retry_on_intr(|| rustix::io::read(&failure, &mut errno))? == 0 {
            return Ok(running);
        }
        let _ = retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()));
        Err(io::Error::from_raw_os_error(i32::from_ne_bytes(errno)))
    }

    /// Waits until the command ends, and forwards the signals that were sent to this process alone.
    pub(crate) fn wait(&mut self, signals: &Signals) -> io::Result<Ending> {
        loop {
            if let Some(ending) = self.step(signals, None, None)? {
                return Ok(ending);
            }
        }
    }

    /// Does the work of [`wait`](Self::wait) until the next event: also until `beside` is readable,
    /// or for `limit` at most. Returns how the command has ended, once.
    pub(crate) fn step(
        &mut self,
        signals: &Signals,
        beside: Option<BorrowedFd<'_>>,
        limit: Option<Duration>,
    ) -> io::Result<Option<Ending>> {
        if let Some(status) = self.reap()? {
            while let Some(arrived) = signals.next()? {
                self.note(arrived);
            }
            return Ok(Some(self.ending(status)));
        }
        self.sleep(signals, beside, limit)?;
        // Before the new ones are read: these are used whenever this process runs again.
        self.reported.retain(|(.., when)| when.elapsed() <= REPORT_TIME);
        self.read_reports();
        while let Some(arrived) = signals.next()? {
            if let (Arrived::Sent(sent), true) = (arrived, self.note(arrived)) {
                self.undecided.push((sent, Instant::now()));
            }
        }
        self.decide();
        Ok(None)
    }

    /// Returns the process of the command. After its end it is a zombie until [`step`](Self::step)
    /// has returned how it ended.
    #[cfg(feature = "fleet")]
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Returns the process of the witness.
    #[cfg(feature = "fleet")]
    pub(crate) fn witness(&self) -> Option<Pid> {
        self.witness.as_ref().map(Witness::pid)
    }

    /// Reaps children that have ended: the command, and orphans that this process has inherited.
    /// Returns the command's status.
    fn reap(&mut self) -> io::Result<Option<WaitStatus>> {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.pid => return Ok(Some(status)),
                Ok(Some((pid, _))) => {
                    self.witness.iter_mut().for_each(|witness| witness.was_reaped(pid));
                }
                Ok(None) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Sleeps until a signal or a report arrives, or the time of an undecided signal is over, and
    /// as [`step`](Self::step) says.
    fn sleep(
        &self,
        signals: &Signals,
        beside: Option<BorrowedFd<'_>>,
        limit: Option<Duration>,
    ) -> io::Result<()> {
        let mut ready = vec![PollFd::new(signals, PollFlags::IN)];
        ready.extend(self.witness.iter().map(|witness| PollFd::new(witness, PollFlags::IN)));
        ready.extend(beside.map(|beside| PollFd::from_borrowed_fd(beside, PollFlags::IN)));
        let left =
            |since: &Instant| REPORT_TIME.checked_sub(since.elapsed()).unwrap_or(CHECK_INTERVAL);
        let left = self.undecided.iter().map(|(_, since)| left(since)).chain(limit).min();
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut ready, left.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Reads the witness's reports; drops the witness if it has ended.
    fn read_reports(&mut self) {
        let Some(witness) = &mut self.witness else { return };
        let now = Instant::now();
        while let Some((signal, sender)) = witness.next() {
            self.reported.push((signal, sender, now));
        }
        if witness.has_ended() {
            self.witness = None;
        }
    }

    /// Notes a signal that was sent to this process; returns `false` for the end of a child.
    fn note(&mut self, arrived: Arrived) -> bool {
        if let Arrived::Sent(sent) = arrived {
            self.received |= bit(sent.signal);
        }
        matches!(arrived, Arrived::Sent(_))
    }

    /// Forwards or drops each undecided signal for which the reports suffice.
    fn decide(&mut self) {
        let undecided = std::mem::take(&mut self.undecided);
        for (sent, since) in undecided {
            let is_timer = sent.by_kernel && sent.signal == libc::SIGALRM;
            let age = since.elapsed();
            let is_late = age >= REPORT_TIME;
            let may_come = !is_late || (age < BUSY_REPORT_TIME && self.may_be_reported(sent));
            if is_late {
                self.read_reports();
            }
            let of_group = match &self.witness {
                // One report may answer for two signals: pending signals of one kind become one.
                Some(witness) => {
                    self.reported
                        .iter()
                        .any(|(signal, by, _)| (*signal, *by) == (sent.signal, sent.sender))
                        || (is_late && witness.is_about_to_report(sent.signal))
                }
                None => sent.by_kernel && !is_timer,
            };
            let may_become_of_group = self.witness.is_some() && !is_timer && may_come;
            if of_group && self.is_in_our_groups(sent) {
                continue;
            }
            if of_group || !may_become_of_group {
                self.forward(sent.signal);
            } else {
                self.undecided.push((sent, since));
            }
        }
    }

    /// Returns `true` if the sender is on its way to the witness, or the witness to its report. If
    /// neither is, the report is in the pipe by now, or does not come.
    fn may_be_reported(&self, sent: Sent) -> bool {
        // In this order: the sender wakes the witness, which then runs until it has reported.
        is_running(sent.sender)
            || self.witness.as_ref().is_some_and(|witness| is_running(witness.number()))
    }

    /// Returns `true` if the command is in the groups by which a signal reaches this process and
    /// the witness.
    ///
    /// The kernel sends to process groups. Another sender may mean either group.
    fn is_in_our_groups(&self, sent: Sent) -> bool {
        let control_group = |process: &str| std::fs::read(format!("/proc/{process}/cgroup")).ok();
        getpgid(Some(self.pid)).is_ok_and(|group| group == getpgrp())
            && (sent.by_kernel || control_group("self") == control_group(&self.pid.to_string()))
    }

    /// Sends a signal to the command.
    fn forward(&mut self, signal: i32) {
        self.received |= bit(signal);
        send(self.pid, signal);
    }

    /// Returns how this process ends after the command: by the same signal if this process was sent
    /// it, too, else as flock(1) and shells do.
    fn ending(&self, status: WaitStatus) -> Ending {
        if let Some(signal) = status.terminating_signal() {
            if self.received & bit(signal) != 0 {
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
fn is_running(process: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten();
    threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("stat")).ok()).any(
        |stat| {
            stat.rsplit_once(')').is_some_and(|(_, fields)| fields.trim_start().starts_with('R'))
        },
    )
}

/// Returns the bit of a signal; none beyond the 63rd, which are never forwarded.
fn bit(signal: i32) -> u64 {
    u32::try_from(signal).ok().and_then(|signal| 1_u64.checked_shl(signal)).unwrap_or(0)
}

/// Waits in the child for leave, then becomes the command; if that fails, reports the errno.
/// Async-signal-safe.
fn become_when_allowed(plan: &Plan<'_>, may_go: &OwnedFd, failed: &OwnedFd) -> ! {
    // Before the wait: a parent that has ended already gives no leave, prctl(2).
    let is_bound =
        !plan.dies_with_us || set_parent_process_death_signal(Some(Signal::KILL)).is_ok();
    if is_bound && matches!(rustix::io::read(may_go, &mut [0]), Ok(1)) {
        let errno = become_program(plan).raw_os_error().unwrap_or(libc::EINVAL);
        let _ = rustix::io::write(failed, &errno.to_ne_bytes());
    }
    // SAFETY: _exit(2) does not return and runs nothing of this program.
    unsafe { libc::_exit(1) }
}

/// Becomes the command. Before, it undoes what `run` has changed. Returns only if that fails, with
/// signals blocked. Async-signal-safe.
pub(crate) fn become_program(plan: &Plan<'_>) -> io::Error {
    if let Some(line) = plan.lifeline {
        if let Err(errno) = fcntl_setfd(line, FdFlags::empty()) {
            return errno.into();
        }
    }
    inherited::restore();
    plan.mask.restore();
    let error = plan.image.become_it();
    block();
    error
}
