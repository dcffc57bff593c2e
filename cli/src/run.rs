//! `run`: a command under the lock, as flock(1).

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;

use shmlock::{BlockSignals, Guard};

use crate::acquire::{Taken, open, take};
use crate::args::{Sharing, Waiting, Where};
use crate::child;
use crate::display::{shortened, shown};
use crate::exit::{Ending, Failure, SYSTEM, UNAVAILABLE, remark};
use crate::signals::{Interrupts, Mask, Signals};

/// How much of a command line fits into a description.
const DESCRIPTION_MAX: usize = 63;

const AFTER: &str = "\
The lock is released when the command ends, in whatever way. If `run` itself is
killed, the lock stays held until the command has ended: the command carries the
proof of life in an inherited descriptor. The next owner then finds a dead one,
says so (-v), and goes on. A command that closes descriptors which it does not
know, as daemons do, gives the proof up: should `run` be killed, the lock is free
although the command still runs.

With -F there is no `run` beside the command, and the descriptor is all that
holds the lock. A command that closes it, by closing all descriptors from 3 on,
LOSES THE LOCK at that moment, and nothing tells. Use -F only for commands that
leave alone the descriptors that they did not open.

Signals HUP, INT, QUIT, TERM, USR1, USR2 and ALRM that are sent to `run` alone
are passed on to the command, a tenth of a second later. What reaches the whole
process group or control group (a key, `kill %1`, systemd) reaches the command by
itself, and is not sent twice: a process \"witness\" beside the command tells. What
was ignored from the start, as by nohup(1), stays ignored. A signal that comes
before the command was started ends `run`.

A dead owner's mark is taken away by the next `run`, for a command has no data
that the lock knows of. Programs that protect data by the same lock, and want to
be told of every death, must not share it with `run`.

Unlike flock(1): the lock is released when the command ends, though programs that
it started in the background go on; there is no shared lock; -v writes to
standard error. docs/cli.md has all differences.

Exit status:
  any   that of the command, or 128+N if signal N ended it
  by N  `run` ends by signal N itself if that was sent to it and ended the command,
        or came while it waited for the lock; a shell says 128+N of both
  1     the lock was not free in time (-n, -w), or what -E says
  64, 65, 66, 69, 71, 73, 75  as in `shmlock --help`";

/// Run a command under a lock
///
/// Takes the options of flock(1). Everything from CMD on is the command's.
#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
#[command(after_long_help = AFTER)]
#[command(
    override_usage = "shmlock run NAME [OPTIONS] [--] CMD [ARGS]...\n       shmlock run NAME [OPTIONS] -c LINE"
)]
pub(crate) struct Args {
    /// The lock's name
    name: String,

    #[command(flatten)]
    waiting: Waiting,

    /// Do not pass the proof of life on: if `run` is killed, the lock is free although the command
    /// still runs
    #[arg(short = 'o', long = "close")]
    close: bool,

    /// Become the command instead of starting it; it loses the lock if it closes descriptors from
    /// 3 on
    ///
    /// The command is then the owner itself, and its end is the death of an owner.
    /// It holds the lock by a descriptor that it inherits. If it closes that, as
    /// daemons do with what they did not open, it loses the lock and is not told.
    #[arg(short = 'F', long, conflicts_with = "close", verbatim_doc_comment)]
    no_fork: bool,

    /// An exclusive lock: the only kind there is, so this changes nothing
    #[arg(short = 'x', long, short_alias = 'e')]
    exclusive: bool,

    /// Say nothing of a lock that was not free: so it is without -v, too
    #[arg(short, long, conflicts_with = "verbose", hide = true)]
    quiet: bool,

    // flock(1) has these; a plain "unexpected argument" would not say why we have not.
    #[arg(short, long, hide = true)]
    shared: bool,
    #[arg(short, long, hide = true)]
    unlock: bool,
    #[arg(long, hide = true)]
    fcntl: bool,

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
    #[arg(value_name = "CMD", trailing_var_arg = true)]
    command: Vec<OsString>,
}

impl Args {
    pub(crate) fn perform(&self) -> Result<Ending, Failure> {
        self.check()?;
        let mask = Mask::present();
        let builder = self
            .sharing
            .apply(self.place.builder(&self.name), &self.place.path(&self.name))
            .lifeline(!self.close);
        // From the taking on a signal is the command's, and is not to end this process before it
        // has released.
        let builder =
            builder.block_signals(BlockSignals::WhileHeld).description(&self.description());
        let lock = open(builder)?;
        let interrupts = Interrupts::catch();
        let guard = match take(&lock, &self.waiting, self.waiting.verbose)? {
            Taken::Held(guard) => guard,
            Taken::Interrupted(ending) => return Ok(ending),
        };
        if self.waiting.verbose {
            remark(&format!("executing {}", shown(&self.program().to_string_lossy())));
        }
        let ending = self.execute(&guard, mask, interrupts)?;
        guard.release()?;
        Ok(ending)
    }

    /// Refuses what flock(1) has and this program has not, with the reason.
    fn check(&self) -> Result<(), Failure> {
        let reason = match () {
            () if self.shared => {
                "there is no shared lock: every lock is exclusive; leave -s out, or use flock(1)"
            }
            () if self.unlock => {
                "there is nothing to unlock: a lock is released when its command ends; leave -u out"
            }
            () if self.fcntl => "the lock is no lock of a file; leave --fcntl out",
            () if self.line.is_none() && self.command.is_empty() => {
                "name a command to run under the lock, or a line by -c; see `shmlock run --help`"
            }
            () => return Ok(()),
        };
        Err(Failure::usage(reason))
    }

    fn execute(
        &self,
        guard: &Guard<'_>,
        mask: Mask,
        interrupts: Interrupts,
    ) -> Result<Ending, Failure> {
        let lifeline = guard.lock().lifeline();
        let failed = |error| {
            Failure::new(SYSTEM, format!("cannot wait for the command: {error}; it may still run"))
        };
        let signals = Signals::receive(interrupts).map_err(failed)?;
        if let Some(signal) = Interrupts::caught() {
            return Ok(Ending::Signal(signal)); // it came just before: the command is not started any more
        }
        if let (true, Some(lifeline)) = (self.no_fork, lifeline) {
            return Err(self.cannot_execute(&child::become_program(
                self.command(),
                mask,
                lifeline,
            )));
        }
        let running = child::Running::start(self.command(), mask, lifeline, &signals);
        let mut running = running.map_err(|error| self.cannot_execute(&error))?;
        running.wait(&signals).map_err(failed)
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
        let words =
            || self.command.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let command =
            || self.line.as_deref().map(OsStr::to_string_lossy).map_or_else(words, Into::into);
        self.description.clone().unwrap_or_else(|| shortened(&command(), DESCRIPTION_MAX))
    }

    fn cannot_execute(&self, error: &std::io::Error) -> Failure {
        let program = self.program();
        let is_path = program.as_encoded_bytes().contains(&b'/');
        let (code, remedy) = match error.raw_os_error() {
            Some(libc::ENOMEM) => (SYSTEM, "free memory"),
            Some(libc::EAGAIN) => (
                SYSTEM,
                "raise the limit of processes (ulimit -u, or pids.max of the control group)",
            ),
            Some(libc::EMFILE) => (SYSTEM, "close descriptors or raise their limit (ulimit -n)"),
            Some(libc::ENFILE) => (SYSTEM, "the whole system is out of descriptors"),
            Some(libc::E2BIG) => (UNAVAILABLE, "shorten its arguments and the environment"),
            Some(libc::EACCES) => (
                UNAVAILABLE,
                "make it executable, its directories searchable, and see mount option noexec",
            ),
            Some(libc::ENOEXEC) => (UNAVAILABLE, "it is no program for this machine"),
            Some(libc::ETXTBSY) => (UNAVAILABLE, "wait until it is written"),
            Some(libc::ENOENT) if is_path && Path::new(&program).exists() => {
                (UNAVAILABLE, "its interpreter is missing: see its first line, or ldd(1)")
            }
            Some(libc::ENOENT) if is_path => (UNAVAILABLE, "see its path"),
            Some(libc::ENOENT) => (UNAVAILABLE, "see its name and PATH"),
            _ => (UNAVAILABLE, "see execve(2)"),
        };
        Failure::new(
            code,
            format!("cannot execute {:?}: {error}; {remedy}", program.to_string_lossy()),
        )
    }
}
