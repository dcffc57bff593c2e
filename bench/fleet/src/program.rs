//! Runs the programs that are measured side by side, and reads their lines.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use shmlock_bench_support::Result;

use crate::cluster::command;

/// How long a line, or the end of a program, is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How often a state that has no event is looked at.
const LOOK: Duration = Duration::from_millis(1);

/// A program that holds a lock over machines while a command runs.
pub(crate) enum Locker {
    Etcdctl,
    /// The program, and the directory of the machine's local locks.
    Shmlock(PathBuf, PathBuf),
}

impl Locker {
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::Etcdctl => "`etcdctl lock`",
            Self::Shmlock(..) => "**`shmlock run --fleet`**",
        }
    }

    /// Returns the prefix of the lock's keys in etcd.
    pub(crate) fn prefix(&self, name: &str) -> String {
        match self {
            Self::Etcdctl => format!("{name}/"),
            Self::Shmlock(..) => format!("shmlock/{name}/"),
        }
    }

    /// Returns the command that runs `under` while it holds the lock. Without `under`, etcdctl
    /// prints its key, and holds the lock until a signal.
    pub(crate) fn command(&self, name: &str, endpoints: &str, ttl: u64, under: &[&str]) -> Command {
        let ttl = ttl.to_string();
        let mut command = match self {
            Self::Etcdctl => {
                let mut command = command("etcdctl");
                command.env("ETCDCTL_API", "3").args(["--endpoints", endpoints]);
                command.args(["lock", "--ttl", &ttl, name, "--"]);
                command
            }
            Self::Shmlock(program, machine) => {
                let mut command = command(program);
                command.args(["run", "--fleet", endpoints, "--ttl", &ttl, "--directory"]);
                command.arg(machine).args([name, "--"]);
                command
            }
        };
        command.args(under);
        command
    }
}

/// A running program. Dropped, it is killed.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<(Instant, String)>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child =
            child.map_err(|error| format!("cannot start {:?}: {error}", command.get_program()))?;
        let stdout = child.stdout.take().ok_or("the program has no standard output")?;
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(std::io::Result::ok) {
                if tell.send((Instant::now(), line)).is_err() {
                    return; // the measurement has ended
                }
            }
        });
        Ok(Self { child, lines })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the next line, and returns the moment at which it was read.
    pub(crate) fn next_line(&self) -> Result<Instant> {
        Ok(self.line_within(PATIENCE).ok_or("a program prints no line, or has ended")?.0)
    }

    /// Returns the next line, and the moment at which it was read; `None` if there is none for so
    /// long.
    pub(crate) fn line_within(&self, limit: Duration) -> Option<(Instant, String)> {
        self.lines.recv_timeout(limit).ok()
    }

    /// Waits for the end, for `limit` at most; `None` after it.
    pub(crate) fn end_within(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let begin = Instant::now();
        loop {
            let status = self.child.try_wait()?;
            if status.is_some() || begin.elapsed() > limit {
                return Ok(status);
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Ends a part of this program: it goes on, and ends by itself.
    pub(crate) fn go_on(mut self) -> Result<()> {
        self.child.stdin = None;
        self.ended()
    }

    /// Ends a program by SIGINT: it releases its lock.
    pub(crate) fn interrupt(self) -> Result<()> {
        let pid = Pid::from_raw(i32::try_from(self.pid())?).ok_or("process 0")?;
        kill_process(pid, Signal::INT)?;
        self.ended()
    }

    fn ended(mut self) -> Result<()> {
        let ended = self.end_within(PATIENCE)?;
        ended.map(drop).ok_or_else(|| "a program does not end".into())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill(); // fails harmlessly if it has ended
        let _ = self.child.wait();
    }
}

/// Waits until a state of another process has come.
pub(crate) fn until(what: &str, mut has_come: impl FnMut() -> Result<bool>) -> Result<()> {
    let begin = Instant::now();
    while !has_come()? {
        if begin.elapsed() > PATIENCE {
            return Err(format!("waited in vain for {what}").into());
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}
