//! `run`: a command under the lock, as flock(1).

use std::env;
use std::ffi::{OsStr, OsString};
use std::process::Command;

use shmlock::{BlockSignals, Guard};

use crate::args::{Sharing, Waiting, Where};
use crate::child;
use crate::exit::{Failure, SYSTEM, UNAVAILABLE, remark};
use crate::signals::{Mask, Signals};
use crate::taking::take;
use crate::text::{shortened, shown};

/// How much of a command line fits into a description.
const DESCRIPTION_MAX: usize = 63;

const AFTER: &str = "\
The lock is given back when the command ends, in whatever way. If `run` itself
is killed, the lock stays held until the command has ended: the command carries
the proof of life in an inherited descriptor. The next owner then finds a dead
one, says so (-v), and goes on.

Signals HUP, INT, QUIT, TERM, USR1, USR2 and ALRM that are sent to `run` are
sent on to the command; what comes from the terminal has reached it already,
and what was ignored from the start, as by nohup(1), stays ignored.

A dead owner's mark is taken away by whoever runs next, for a command has no
data that the lock knows of. Programs that protect data by the same lock, and
want to be told of every death, must not share it with `run`.

Unlike flock(1): the lock is given back when the command ends, though programs
that it started in the background go on; who has the lock is said when it was
not to be had (-q); there is no shared lock.

Exit status:
  any   that of the command, or 128+N if signal N ended it
  1     the lock was not to be had (-n, -w), or what -E says
  64, 65, 66, 69, 71, 73, 75  as in `shmlock --help`";

/// Run a command under a lock
///
/// Takes the options of flock(1). Everything from CMD on is the command's.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER)]
#[command(override_usage = "shmlock run NAME [OPTIONS] [--] CMD [ARGS]...\n       shmlock run NAME [OPTIONS] -c LINE")]
pub(crate) struct Args {
    /// The lock's name
    name: String,

    #[command(flatten)]
    waiting: Waiting,

    /// Do not pass the proof of life on: once `run` is dead, the lock is free, although the command still runs
    #[arg(short = 'o', long = "close")]
    close: bool,

    /// Become the command instead of starting it. It is then the owner itself, and its end is the death of an owner
    #[arg(short = 'F', long, conflicts_with = "close")]
    no_fork: bool,

    /// An exclusive lock: the only kind there is, so this changes nothing
    #[arg(short = 'x', long, short_alias = 'e')]
    exclusive: bool,

    /// What others read about why the lock is held: at most 63 bytes [default: the command]
    #[arg(short, long, value_name = "TEXT")]
    description: Option<String>,

    #[command(flatten)]
    place: Where,

    #[command(flatten)]
    sharing: Sharing,

    /// Give this line to $SHELL, or /bin/sh, instead of a command
    #[arg(short = 'c', long = "command", value_name = "LINE", conflicts_with = "command")]
    line: Option<OsString>,

    /// The command and its arguments
    #[arg(value_name = "CMD", trailing_var_arg = true, required_unless_present = "line")]
    command: Vec<OsString>,
}

impl Args {
    pub(crate) fn perform(&self) -> Result<u8, Failure> {
        let mask = Mask::present();
        let builder = self.sharing.apply(self.place.builder(&self.name)).lifeline(!self.close);
        // From the taking on a signal is the command's, and not to end us without giving back.
        let builder = builder.block_signals(BlockSignals::WhileHeld);
        let lock = builder.description(&self.description()).open()?;
        let guard = take(&lock, &self.waiting)?;
        if self.waiting.verbose {
            remark(&format!("executing {}", shown(&self.program().to_string_lossy())));
        }
        let code = self.execute(&guard, mask)?;
        guard.release()?;
        Ok(code)
    }

    fn execute(&self, guard: &Guard<'_>, mask: Mask) -> Result<u8, Failure> {
        let lifeline = guard.lock().lifeline();
        if let (true, Some(lifeline)) = (self.no_fork, lifeline) {
            return Err(self.cannot_execute(&child::become_program(self.command(), mask, lifeline)));
        }
        let failed = |error| Failure::new(SYSTEM, format!("cannot wait for the command: {error}; it may still run"));
        let signals = Signals::receive().map_err(failed)?;
        let mut child = child::start(self.command(), mask, lifeline).map_err(|error| self.cannot_execute(&error))?;
        let status = child::wait(&mut child, &signals).map_err(failed)?;
        signals.end();
        Ok(child::code_of(status))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.program());
        match &self.line {
            Some(line) => command.arg("-c").arg(line),
            None => command.args(self.command.iter().skip(1)),
        };
        command
    }

    fn program(&self) -> OsString {
        let shell = || env::var_os("SHELL").filter(|shell| !shell.is_empty());
        match &self.line {
            Some(_) => shell().unwrap_or_else(|| "/bin/sh".into()),
            None => self.command.first().cloned().unwrap_or_default(),
        }
    }

    fn description(&self) -> String {
        let words = || self.command.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let command = || self.line.as_deref().map(OsStr::to_string_lossy).map_or_else(words, Into::into);
        self.description.clone().unwrap_or_else(|| shortened(&command(), DESCRIPTION_MAX))
    }

    fn cannot_execute(&self, error: &std::io::Error) -> Failure {
        let program = self.program();
        let (code, remedy) = match error.raw_os_error() {
            Some(libc::ENOMEM | libc::EAGAIN) => (SYSTEM, "free memory or raise the limit of processes"),
            Some(libc::EACCES) => (UNAVAILABLE, "make it executable"),
            _ => (UNAVAILABLE, "see its name and PATH"),
        };
        Failure::new(code, format!("cannot execute {:?}: {error}; {remedy}", program.to_string_lossy()))
    }
}
