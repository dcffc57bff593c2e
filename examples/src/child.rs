//! How does a program talk to a second copy of itself?
//!
//! The child says lines on its standard output; the parent says one thing only, "go on", by closing
//! the child's standard input. Nothing else passes between them: what they share, they find by
//! name.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Lines, Read, stdin};
use std::process::{Child as Process, ChildStdout, Command, ExitStatus, Stdio};

use rustix::process::{Signal, set_parent_process_death_signal};

use crate::Result;

/// A copy of this program. Dropping it kills it, so that none is left behind when something goes
/// wrong.
#[derive(Debug)]
pub struct Child {
    process: Process,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Child {
    /// Starts a copy of this program with other arguments.
    ///
    /// # Errors
    /// What the system says.
    pub fn start<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Result<Self> {
        let mut command = this_program()?;
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process =
            command.spawn().map_err(|error| format!("cannot start another process: {error}"))?;
        let stdout = process.stdout.take().ok_or("the child has no standard output")?;
        Ok(Self { process, lines: BufReader::new(stdout).lines() })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits for its next line; `None` when it has ended.
    ///
    /// # Errors
    /// What the system says.
    pub fn next_line(&mut self) -> Result<Option<String>> {
        Ok(self.lines.next().transpose()?)
    }

    /// Waits for this line.
    ///
    /// # Errors
    /// If the child says something else, or ends.
    pub fn expect(&mut self, line: &str) -> Result<()> {
        match self.next_line()? {
            Some(said) if said == line => Ok(()),
            said => {
                Err(format!("process {} was to say {line:?}, and said {said:?}", self.pid()).into())
            }
        }
    }

    /// Lets it go on from [`wait_for_parent`].
    pub fn go_on(&mut self) {
        self.process.stdin = None;
    }

    /// Kills it by SIGKILL, which it can neither see coming nor delay.
    ///
    /// # Errors
    /// What the system says.
    pub fn kill(&mut self) -> Result<()> {
        Ok(self.process.kill()?)
    }

    /// How it has ended; `None` if it has not.
    ///
    /// # Errors
    /// What the system says.
    pub fn has_ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.process.try_wait()?)
    }

    /// Waits until it is gone.
    ///
    /// # Errors
    /// What the system says.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        Ok(self.process.wait()?)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both fail if it has ended already, which is as well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// This program again. `SHMLOCK_EXAMPLES_RUNNER` names the emulator if the kernel cannot start the
/// program by itself.
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

/// In the child: says `line`, and waits until the parent says to go on, or is gone.
///
/// # Errors
/// What the system says.
pub fn wait_for_parent(line: &str) -> Result<()> {
    println!("{line}");
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// In the child: says `line`, and waits for nothing but its death.
pub fn wait_for_death(line: &str) -> ! {
    println!("{line}");
    loop {
        std::thread::park();
    }
}

/// In the child: has the kernel kill it when the thread that started it is gone, so that it does
/// not work on unattended.
///
/// # Errors
/// What the system says.
pub fn die_with_parent() -> Result<()> {
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}
