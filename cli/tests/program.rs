//! Starting programs, and talking with them.

#![allow(unsafe_code, reason = "kill and prctl")]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

use shmlock_tests::{output, start, start_as_it_is};

/// What runs under the lock where a test wants to know that it runs, and to decide when it ends.
pub(crate) const UNTIL_TOLD: [&str; 3] = ["sh", "-c", "echo ready; read _"];

/// The program with these arguments, and nothing of the environment that changes what it does.
pub(crate) fn shmlock<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shmlock"));
    for variable in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "SHELL", "TERM"] {
        command.env_remove(variable);
    }
    command.args(args);
    command
}

/// How a program ended, and what it said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs it to its end, without input.
pub(crate) fn ended(mut command: Command) -> Ended {
    told(output(&mut command).expect("it can be started"))
}

/// As [`ended`], with the signals as the steps of the command itself have set them.
pub(crate) fn ended_as_it_is(mut command: Command) -> Ended {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = start_as_it_is(&mut command).expect("it can be started");
    told(child.wait_with_output().expect("it ends"))
}

fn told(output: Output) -> Ended {
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs our program to its end.
pub(crate) fn says<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Ended {
    ended(shmlock(args))
}

/// A program that runs. Killed when dropped.
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

    /// The next line of its output. The descendants of a program have its output, too.
    pub(crate) fn hear(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("a pipe");
        line.trim_end().to_owned()
    }

    /// Waits until its command says that it runs.
    pub(crate) fn ready(mut self) -> Self {
        let said = self.hear();
        if said != "ready" {
            let _ = self.child.kill();
            panic!("it said {said:?}; {}", self.errors());
        }
        self
    }

    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.input.as_mut().expect("not closed yet"), "{line}").expect("it reads");
    }

    /// As [`tell`](Self::tell), without the end of the line.
    pub(crate) fn tell_in_part(&mut self, text: &str) {
        write!(self.input.as_mut().expect("not closed yet"), "{text}").expect("it reads");
    }

    /// Ends its input, and so the command.
    pub(crate) fn close(&mut self) {
        self.input = None;
    }

    /// Waits until nobody has its output any more: it and all its descendants have ended. What they
    /// still said.
    pub(crate) fn all_end(&mut self) -> String {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).expect("UTF-8");
        rest
    }

    /// The next line of what it says on standard error; then nothing more of that is to be asked
    /// for.
    pub(crate) fn hears_error(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.child.stderr.as_mut().expect("piped"))
            .read_line(&mut line)
            .expect("UTF-8");
        line
    }

    /// The rest of what it said on standard error.
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
        // SAFETY: kill(2) with two numbers; the group has this process in it, which has not been
        // waited for.
        unsafe { libc::kill(-libc::pid_t::try_from(self.pid()).expect("a process id"), signal) };
    }

    /// Kills it, and it alone; waits until it is gone.
    pub(crate) fn kill(&mut self) {
        self.signal(libc::SIGKILL);
        let status = self.child.wait().expect("a child");
        assert_eq!(status.signal(), Some(libc::SIGKILL));
    }

    /// Its exit status, or 1000 and the signal.
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

/// The processes whose parent is this one.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let pids = std::fs::read_dir("/proc")
        .expect("proc")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| stat(*pid).is_some_and(|stat| stat.1 == parent)).collect()
}

/// The state of a process, as ps(1) shows it; `None` if it has ended and was waited for.
pub(crate) fn state_of(pid: u32) -> Option<char> {
    stat(pid).map(|stat| stat.0)
}

/// State and parent of a process, `proc_pid_stat(5)`.
fn stat(pid: u32) -> Option<(char, u32)> {
    let line = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = line.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// Sends a signal to a process that has not been waited for.
pub(crate) fn kill(pid: u32, signal: libc::c_int) {
    // SAFETY: kill(2) with two numbers.
    unsafe { libc::kill(libc::pid_t::try_from(pid).expect("a process id"), signal) };
}
