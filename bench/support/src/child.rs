//! Starts a second copy of the running program and talks to it.
//!
//! The child prints lines on its standard output. The parent sends a single message, "go on", by
//! closing the child's standard input. The two find all shared objects by name.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Lines, Read, stdin};
use std::process::{Child as Process, ChildStdout, Command, ExitStatus, Stdio};

use rustix::process::{Signal, set_parent_process_death_signal};

use crate::Result;

/// A copy of this program. Dropping it kills the process, so that an error leaves none behind.
#[derive(Debug)]
pub struct Child {
    process: Process,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Child {
    /// Starts a copy of this program with other arguments.
    ///
    /// # Errors
    /// The system's error.
    pub fn start<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Result<Self> {
        let mut command = this_program()?;
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process =
            command.spawn().map_err(|error| format!("cannot start another process: {error}"))?;
        let stdout = process.stdout.take().ok_or("the child has no standard output")?;
        Ok(Self { process, lines: BufReader::new(stdout).lines() })
    }

    /// Returns the process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits for the child's next line; returns `None` when the child has ended.
    ///
    /// # Errors
    /// The system's error.
    pub fn next_line(&mut self) -> Result<Option<String>> {
        Ok(self.lines.next().transpose()?)
    }

    /// Lets the child return from [`wait_for_parent`].
    pub fn go_on(&mut self) {
        self.process.stdin = None;
    }

    /// Kills the child by SIGKILL, which it cannot catch or delay.
    ///
    /// # Errors
    /// The system's error.
    pub fn kill(&mut self) -> Result<()> {
        Ok(self.process.kill()?)
    }

    /// Returns the exit status if the child has ended. Does not block.
    ///
    /// # Errors
    /// The system's error.
    pub fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.process.try_wait()?)
    }

    /// Waits until the child has ended.
    ///
    /// # Errors
    /// The system's error.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        Ok(self.process.wait()?)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both fail harmlessly if the child has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns the command that starts this program. `SHMLOCK_EXAMPLES_RUNNER` names an emulator, if
/// the kernel cannot start the program itself.
fn this_program() -> Result<Command> {
    let program = std::env::current_exe()?;
    Ok(match std::env::var_os("SHMLOCK_EXAMPLES_RUNNER") {
        None => Command::new(program),
        Some(runner) => {
            let mut command = Command::new(runner);
            command.arg(program);
            command
        }
    })
}

/// Prints `line` and waits until the parent closes our standard input, or dies. For the child.
///
/// # Errors
/// The system's error.
pub fn wait_for_parent(line: &str) -> Result<()> {
    println!("{line}");
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Prints `line` and waits until this process is killed. For the child.
pub fn wait_for_death(line: &str) -> ! {
    println!("{line}");
    loop {
        std::thread::park();
    }
}

/// Asks the kernel to kill this process when the thread that started it ends
/// (`PR_SET_PDEATHSIG`, prctl(2)). For the child.
///
/// # Errors
/// The system's error.
pub fn die_with_parent() -> Result<()> {
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}
