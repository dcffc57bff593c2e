//! Starts programs, and exchanges lines with them.

#![allow(unsafe_code, reason = "kill and prctl")]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

use shmlock_tests::{output, start, start_as_it_is};

/// A command that says when it runs, and ends at the end of its input.
pub(crate) const UNTIL_TOLD: [&str; 3] = ["sh", "-c", "echo ready; read _"];

/// Returns the program with these arguments, without the variables that change its output.
pub(crate) fn shmlock<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shmlock"));
    for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "SHELL", "TERM"] {
        command.env_remove(variable);
    }
    command.args(args);
    command
}

/// The exit status and the output of a program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a program to its end, without input.
pub(crate) fn ended(mut command: Command) -> Ended {
    from_output(output(&mut command).expect("it can be started"))
}

/// Runs a program to its end as [`ended`] does, with the signals that its own steps have set.
pub(crate) fn ended_as_it_is(mut command: Command) -> Ended {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = start_as_it_is(&mut command).expect("it can be started");
    from_output(child.wait_with_output().expect("it ends"))
}

fn from_output(output: Output) -> Ended {
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs the program `shmlock` to its end.
pub(crate) fn says<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Ended {
    ended(shmlock(args))
}

/// A running program. Killed on drop.
pub(crate) struct Running {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let prepare = || {
            // SAFETY: prctl(2) with two numbers.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            Ok(())
        };
        // SAFETY: system calls only.
        unsafe { command.pre_exec(prepare) };
        let mut child =
            start(command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()));
        let child_ref = child.as_mut().expect("it can be started");
        let input = child_ref.stdin.take();
        let output = BufReader::new(child_ref.stdout.take().expect("piped"));
        Self { child: child.expect("as above"), input, output }
    }

    /// Reads the next line of its output, which its descendants share.
    pub(crate) fn read_line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a pipe");
        line.trim_end().to_owned()
    }

    /// Waits until its command says that it runs.
    pub(crate) fn ready(mut self) -> Self {
        let said = self.read_line();
        if said != "ready" {
            let _ = self.child.kill();
            panic!("it said {said:?}; {}", self.errors());
        }
        self
    }

    /// Writes a line to its input.
    pub(crate) fn write_line(&mut self, line: &str) {
        writeln!(self.input.as_mut().expect("not closed yet"), "{line}").expect("it reads");
    }

    /// Writes a part of a line to its input.
    pub(crate) fn write_part(&mut self, text: &str) {
        write!(self.input.as_mut().expect("not closed yet"), "{text}").expect("it reads");
    }

    /// Closes its input, which ends the command.
    pub(crate) fn close(&mut self) {
        self.input = None;
    }

    /// Waits until the program and its descendants have ended; returns the rest of their output.
    pub(crate) fn read_to_end(&mut self) -> String {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).expect("UTF-8");
        rest
    }

    /// Reads a line of standard error. The rest is lost.
    pub(crate) fn read_error_line(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.child.stderr.as_mut().expect("piped"))
            .read_line(&mut line)
            .expect("UTF-8");
        line
    }

    /// Reads standard error to its end.
    pub(crate) fn errors(&mut self) -> String {
        let mut rest = String::new();
        self.child.stderr.take().expect("asked once").read_to_string(&mut rest).expect("UTF-8");
        rest
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: libc::c_int) {
        kill(self.pid(), signal);
    }

    /// Sends a signal to the process group that it leads.
    pub(crate) fn signal_group(&self, signal: libc::c_int) {
        // SAFETY: kill(2) with two numbers; the leader has not been reaped and still has the group.
        unsafe { libc::kill(-libc::pid_t::try_from(self.pid()).expect("a process id"), signal) };
    }

    /// Kills the program alone, and waits for its end.
    pub(crate) fn kill(&mut self) {
        self.signal(libc::SIGKILL);
        let status = self.child.wait().expect("a child");
        assert_eq!(status.signal(), Some(libc::SIGKILL));
    }

    /// Waits for its end; returns the exit status, or 1000 plus the signal.
    pub(crate) fn code(&mut self) -> i32 {
        let status = self.child.wait().expect("a child");
        status.code().unwrap_or_else(|| 1000 + status.signal().unwrap_or(0))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the children of a process.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc")
        .expect("proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| stat(*pid).is_some_and(|stat| stat.1 == parent)).collect()
}

/// Returns the state of a process, as ps(1) shows it; `None` if it was reaped.
pub(crate) fn state_of(pid: u32) -> Option<char> {
    stat(pid).map(|stat| stat.0)
}

/// Returns state and parent of a process, `proc_pid_stat(5)`.
fn stat(pid: u32) -> Option<(char, u32)> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = line.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// Sends a signal to a process that has not been reaped.
pub(crate) fn kill(pid: u32, signal: libc::c_int) {
    // SAFETY: kill(2) with two numbers.
    unsafe { libc::kill(libc::pid_t::try_from(pid).expect("a process id"), signal) };
}
