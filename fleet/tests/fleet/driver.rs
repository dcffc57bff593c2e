//! Drives an actor: one command, one answer.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use shmlock_tests::start;

/// A contender in a process of its own. Dropped, it is killed.
pub(crate) struct Actor {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// From its arguments.
    ttl: Duration,
    /// The moment of the last command to acquire.
    asked: Instant,
}

/// What an actor says of a hold whose own deadline has passed.
pub(crate) const LATE: &str = "was lost: its lease was not renewed in time";

impl Actor {
    pub(crate) fn spawn(arguments: &[String]) -> Self {
        let command = Command::new(env!("CARGO_BIN_EXE_shmlock-fleet-actor"));
        Self::spawn_by(command, arguments)
    }

    /// Starts an actor by a command that ends with its program.
    pub(crate) fn spawn_by(mut command: Command, arguments: &[String]) -> Self {
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = start(&mut command).expect("the actor starts");
        let commands = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        let ttl = Duration::from_secs(arguments[2].parse().expect("seconds"));
        Self { child, commands, answers, ttl, asked: Instant::now() }
    }

    /// Sends a command; its answer is read later.
    pub(crate) fn tell(&mut self, command: &str) {
        if command == "lock" {
            self.asked = Instant::now();
        }
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

    /// Reads the answer to a `lock` during which servers failed, after they are back: a hold, or an
    /// error of the time without them; then the next attempt succeeds. Returns the token.
    pub(crate) fn gets_in(&mut self) -> u64 {
        let answer = self.answer();
        if let Some(token) = answer.strip_prefix("locked ") {
            return token.parse().expect("a number");
        }
        assert!(answer.starts_with("error "), "{answer}");
        self.locks("lock")
    }

    /// Releases a hold that a fault may have ended. Returns `true` if it had not.
    pub(crate) fn releases_if_held(&mut self) -> bool {
        let answer = self.ask("release");
        assert!(answer == "released" || answer.starts_with("error "), "{answer}");
        answer == "released"
    }

    /// Releases a hold. If more time has passed since the actor was told to lock than a hold lives
    /// without a renewal, a busy machine may have kept it from the renewal.
    pub(crate) fn releases_or_is_late(&mut self) {
        let answer = self.ask("release");
        let may_be_late = self.asked.elapsed() >= self.ttl * 9 / 10;
        assert!(answer == "released" || may_be_late && answer.contains(LATE), "{answer}");
    }

    /// Waits until a renewal has moved the deadline: more time is left than before.
    pub(crate) fn until_renewed(&mut self) {
        let mut before = u64::MAX;
        shmlock_tests::until(|| {
            let left: u64 = self.ask("left").parse().expect("milliseconds");
            let is_renewed = left > before;
            before = left;
            is_renewed
        });
    }

    /// Waits until the hold counts as lost.
    pub(crate) fn until_lost(&mut self) {
        shmlock_tests::until(|| self.ask("lost") == "true");
    }

    /// Waits until its call watches the key before its own. From then on the call goes on whatever
    /// becomes of the servers and of its lease; the key alone is there before it knows.
    pub(crate) fn until_watching(&self) {
        let tasks = format!("/proc/{}/task", self.pid());
        let is_watch = |task: std::fs::DirEntry| {
            let name = std::fs::read_to_string(task.path().join("comm"));
            name.is_ok_and(|name| name.trim_end() == "shmlock-fleet-w") // a thread may have ended
        };
        let tasks = || std::fs::read_dir(&tasks).expect("a process").flatten();
        shmlock_tests::until(|| tasks().any(is_watch));
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
