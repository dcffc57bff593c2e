//! Stops a child at a chosen instruction, ptrace(2).
//!
//! The child is a fork of this process, so code and data are at the same addresses in every child:
//! an address seen in one child is a place for a breakpoint in the next.

#![allow(unsafe_code, reason = "raise")]

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::thread;

use super::machine::{PC, TRAP};
use super::marks;
use super::ptrace::{Request, request, stop_by, wait_for};
use crate::hostile::{Child, fork};
use crate::proc;

/// More instructions than any phase has: a longer recording would not end.
const ENDLESS: usize = 2_000_000;

/// One point of a phase: before the instruction at `pc` is executed for the `occurrence`th time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    /// The number of instructions of the phase executed before.
    pub(super) index: usize,
    pub(super) pc: usize,
    occurrence: u32,
}

/// The place at which a child stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    /// At the chosen point.
    AtPoint,
    /// At the end of its phase: it took another path.
    AtEnd,
}

/// A traced child, stopped except during this type's calls.
pub(super) struct Tracee {
    child: Child,
    memory: File,
}

/// Called each time the child sleeps on the owner word; `None` if the phase has no such sleep.
pub(super) type OnSleep<'a> = Option<&'a mut dyn FnMut()>;

impl Tracee {
    /// Starts a child and stops it before it calls `play`.
    pub(super) fn start(play: impl FnOnce()) -> Self {
        let child = fork(|_line| {
            request(libc::PTRACE_TRACEME, 0, 0, 0).expect("we may be traced, as found out before");
            // SAFETY: raise(3) of a signal that exists.
            unsafe { libc::raise(libc::SIGSTOP) };
            play();
        });
        let pid = child.pid();
        assert_eq!(wait_for(pid, 0), Some(stop_by(libc::SIGSTOP)), "it stops itself");
        let memory = File::options()
            .read(true)
            .write(true)
            .open(format!("/proc/{pid}/mem"))
            .expect("our tracee's");
        let tracee = Self { child, memory };
        tracee.ask(
            libc::PTRACE_SETOPTIONS,
            0,
            usize::try_from(libc::PTRACE_O_EXITKILL).expect("a flag"),
        );
        tracee
    }

    /// Lets it run until its phase begins.
    pub(super) fn begin(&self) {
        self.reach(marks::begin());
    }

    fn reach(&self, address: usize) {
        let mark = self.put_breakpoint(address);
        self.resume(libc::PTRACE_CONT, &mut None);
        self.leave_breakpoint(mark);
    }

    pub(super) fn pid(&self) -> libc::pid_t {
        self.child.pid()
    }

    /// Steps through the phase; returns each of its points.
    pub(super) fn record(&self, mut on_sleep: OnSleep<'_>) -> Vec<Point> {
        let (mut trace, mut seen) = (Vec::new(), HashMap::<usize, u32>::new());
        loop {
            let pc = self.pc();
            if pc == marks::end() {
                return trace;
            }
            let occurrence = seen.entry(pc).or_default();
            *occurrence += 1;
            trace.push(Point { index: trace.len(), pc, occurrence: *occurrence });
            assert!(trace.len() < ENDLESS, "the phase has no end");
            self.resume(libc::PTRACE_SINGLESTEP, &mut on_sleep);
        }
    }

    /// Lets it run to this point, or to the end of its phase.
    pub(super) fn run_to(&self, point: Point, mut on_sleep: OnSleep<'_>) -> Stopped {
        let end = self.put_breakpoint(marks::end());
        for occurrence in 1.. {
            let here = self.put_breakpoint(point.pc);
            self.resume(libc::PTRACE_CONT, &mut on_sleep);
            if self.pc() == end.address + TRAP.len() {
                self.remove_breakpoint(here);
                self.leave_breakpoint(end);
                return Stopped::AtEnd;
            }
            self.leave_breakpoint(here);
            if occurrence == point.occurrence {
                break;
            }
            self.resume(libc::PTRACE_SINGLESTEP, &mut on_sleep);
        }
        self.remove_breakpoint(end);
        Stopped::AtPoint
    }

    /// Lets it run until it sleeps on the owner word, and leaves it there.
    pub(super) fn run_to_sleep(&self) {
        self.ask(libc::PTRACE_CONT, 0, 0);
        while !proc::sleeps_on_a_word(self.pid().unsigned_abs()) {
            assert_eq!(wait_for(self.pid(), libc::WNOHANG), None, "it stopped before it slept");
            thread::yield_now();
        }
    }

    /// Detaches it and delivers this signal; 0 is none.
    pub(super) fn let_go(self, signal: libc::c_int) -> Child {
        self.ask(libc::PTRACE_DETACH, 0, usize::try_from(signal).expect("a signal"));
        self.child
    }

    /// Kills it where it stopped.
    pub(super) fn kill(self) {
        self.child.kill();
    }

    fn pc(&self) -> usize {
        usize::try_from(self.ask(libc::PTRACE_PEEKUSER, PC, 0)).expect("an address of user space")
    }

    /// Resumes it until it traps again.
    fn resume(&self, how: Request, on_sleep: &mut OnSleep<'_>) {
        self.ask(how, 0, 0);
        let status = match on_sleep {
            None => wait_for(self.pid(), 0),
            Some(on_sleep) => loop {
                if let Some(status) = wait_for(self.pid(), libc::WNOHANG) {
                    break Some(status);
                }
                if proc::sleeps_on_a_word(self.pid().unsigned_abs()) {
                    on_sleep();
                }
                thread::yield_now();
            },
        };
        assert_eq!(status, Some(stop_by(libc::SIGTRAP)), "it neither traps nor goes on");
    }

    fn put_breakpoint(&self, address: usize) -> Breakpoint {
        let mut code = TRAP;
        self.memory.read_exact_at(&mut code, address as u64).expect("code");
        self.memory.write_all_at(&TRAP, address as u64).expect("a private copy of the code");
        Breakpoint { address, code }
    }

    fn remove_breakpoint(&self, breakpoint: Breakpoint) {
        self.memory
            .write_all_at(&breakpoint.code, breakpoint.address as u64)
            .expect("our own breakpoint");
    }

    /// Removes the breakpoint at which it stopped, and resets the program counter to its address.
    fn leave_breakpoint(&self, breakpoint: Breakpoint) {
        assert_eq!(self.pc(), breakpoint.address + TRAP.len(), "it trapped elsewhere");
        self.remove_breakpoint(breakpoint);
        self.ask(libc::PTRACE_POKEUSER, PC, breakpoint.address);
    }

    fn ask(&self, what: Request, address: usize, data: usize) -> libc::c_long {
        request(what, self.pid(), address, data)
            .unwrap_or_else(|error| panic!("ptrace request {what}: {error}"))
    }
}

/// The code that a trap replaces.
#[derive(Clone, Copy)]
struct Breakpoint {
    address: usize,
    code: [u8; TRAP.len()],
}
