//! Drives an actor: one command, one answer.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use shmlock_tests::start;

/// A contender in a process of its own. Dropped, it is killed.
pub(crate) struct Actor {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Actor {
    pub(crate) fn spawn(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shmlock-fleet-actor"));
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = start(&mut command).expect("the actor starts");
        let commands = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, commands, answers }
    }

    /// Sends a command; its answer is read later.
    pub(crate) fn tell(&mut self, command: &str) {
        writeln!(self.commands, "{command}").expect("the actor reads");
    }

    pub(crate) fn answer(&mut self) -> String {
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the actor answers");
        answer.trim().to_owned()
    }

    pub(crate) fn ask(&mut self, command: &str) -> String {
        self.tell(command);
        self.answer()
    }

    /// Sends a command whose answer is a hold, and returns its token.
    pub(crate) fn locks(&mut self, command: &str) -> u64 {
        self.tell(command);
        self.has_locked()
    }

    pub(crate) fn has_locked(&mut self) -> u64 {
        let answer = self.answer();
        let token = answer.strip_prefix("locked ").unwrap_or_else(|| panic!("{answer}"));
        token.parse().expect("a number")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("a signal");
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().expect("a signal");
        self.child.wait().expect("its end");
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
