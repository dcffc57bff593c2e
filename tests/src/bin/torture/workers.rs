//! Starts the processes on the seats, reaps them, and judges how they ended.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering::Relaxed;

use crate::fault::Fault;
use crate::memory::{Doing, SLOTS};
use crate::pressure::Pressure;
use crate::session::Session;
use crate::system::{self, End, Ended};

/// The children of the master.
pub(crate) struct Workers<'s> {
    session: &'s Session,
    /// The process on each seat; 0 if there is none.
    pids: [u32; SLOTS],
    /// Processes that were started, …
    pub(crate) started: u64,
    /// … and killed.
    pub(crate) killed: u64,
    /// Processes that were ended by a signal with a handler.
    pub(crate) terminated: u64,
    /// Children of workers that the master has reaped, because their parents were dead.
    pub(crate) orphans: u64,
}

impl<'s> Workers<'s> {
    pub(crate) fn new(session: &'s Session) -> Self {
        Self { session, pids: [0; SLOTS], started: 0, killed: 0, terminated: 0, orphans: 0 }
    }

    pub(crate) fn pid(&self, seat: usize) -> Option<u32> {
        Some(self.pids[seat]).filter(|&pid| pid != 0)
    }

    /// Starts a worker in a process group of its own, so that its children are stopped with it.
    #[allow(clippy::zombie_processes, reason = "the master reaps every child by number")]
    pub(crate) fn start(&mut self, seat: usize) {
        self.session.memory.seats[seat].condemned.store(0, Relaxed);
        self.session.memory.seats[seat].at_end.store(0, Relaxed);
        let mut command = Command::new("/proc/self/exe");
        command.args(["worker", &self.session.path, &self.session.prefix, &seat.to_string()]);
        let child = command.process_group(0).stdin(Stdio::null()).spawn();
        self.pids[seat] = child.expect("a process can be started").id();
        self.started += 1;
    }

    /// Kills the process on this seat, or all of its group.
    pub(crate) fn kill(&self, seat: usize, group: bool) {
        let Some(pid) = self.pid(seat) else { return };
        if group {
            system::signal_group(pid, libc::SIGKILL);
        } else {
            system::signal(pid, libc::SIGKILL);
        }
    }

    /// Reaps ended processes. Returns `true` if a child is still running.
    pub(crate) fn reap(&mut self, pressure: &Pressure) -> bool {
        loop {
            match system::next_ended() {
                Ended::NoChildren => return false,
                Ended::None => return true,
                Ended::Child(pid) => {
                    // Its group may have been stopped after it ended; only this continues its
                    // children.
                    system::signal_group(pid, libc::SIGCONT);
                    self.has_ended(pid, system::wait_for(pid), pressure);
                }
            }
        }
    }

    /// Returns `true` if every process that is left is a worker at its end.
    pub(crate) fn are_at_their_end(&self) -> bool {
        let memory = &self.session.memory;
        let is_at_end = |seat: usize| memory.seats[seat].at_end.load(Relaxed) != 0;
        let is_here = |pid| self.pids.iter().enumerate().any(|(at, &p)| p == pid && is_at_end(at));
        (0..SLOTS).all(|seat| self.pids[seat] == 0 || is_at_end(seat))
            && memory
                .numbers()
                .map(|number| memory.life(number).process())
                .all(|process| process.pid == 0 || is_here(process.pid) || process.is_gone())
    }

    fn has_ended(&mut self, pid: u32, end: End, pressure: &Pressure) {
        if pressure.is_one_of_them(pid) {
            return;
        }
        let seat = self.pids.iter().position(|&sitting| sitting == pid);
        let is_wanted = match (end, seat) {
            (End::Exit(0), _) => true,
            (End::Signal(libc::SIGKILL), _) => {
                self.killed += 1;
                true
            }
            (End::Signal(libc::SIGTERM), Some(seat)) => {
                self.terminated += 1;
                self.session.memory.seats[seat].condemned.load(Relaxed) == pid
            }
            (End::Signal(libc::SIGABRT), Some(seat)) => self.has_ended_as_planned(seat),
            _ => false,
        };
        if !is_wanted {
            self.accuse(seat, end);
        }
        match seat {
            Some(seat) => self.pids[seat] = 0,
            None => self.orphans += 1,
        }
    }

    /// Returns `true` if the last life of the process on this seat was at its planned end.
    fn has_ended_as_planned(&self, seat: usize) -> bool {
        let memory = &self.session.memory;
        let life = memory.life(memory.seats[seat].life.load(Relaxed));
        life.doomed.load(Relaxed) != 0 || life.is_doing(Doing::Ended)
    }

    fn accuse(&self, seat: Option<usize>, end: End) {
        let memory = &self.session.memory;
        let life = seat.map_or(0, |seat| memory.seats[seat].life.load(Relaxed));
        let seen = match end {
            End::Signal(signal) => signal,
            End::Exit(code) => 1000 + code,
        };
        memory.accuse(Fault::BadEnd, usize::MAX, life, u64::from(seen.unsigned_abs()));
    }
}
