//! `run`: runs a command under a lock, as flock(1).

use std::env;
use std::ffi::{OsStr, OsString};

use shmlock::{BlockSignals, Guard};

use crate::acquire::{Acquired, acquire, open};
use crate::args::{Place, Sharing, Waiting};
use crate::child::{self, Plan};
use crate::display::{escaped, shortened};
use crate::exec::{Image, cannot_execute};
use crate::exit::{Ending, Failure, SYSTEM, fleet_statuses, remark, without_signals};
use crate::fleet;
use crate::signals::{Interrupts, Mask, Signals};

/// The longest description in bytes.
const DESCRIPTION_MAX: usize = 63;

/// The part of the help about a fleet lock.
#[cfg(feature = "fleet")]
macro_rules! fleet_notes {
    () => {
        "\
With --fleet the lock is one for all machines that use the cluster. The command
finds its fencing token in SHMLOCK_FENCING_TOKEN, and the name in SHMLOCK_LOCK_NAME.
What the lock protects should refuse a token smaller than one that it has seen: a
stopped or unreachable machine may lose the lock without noticing in time.

If the lock is lost, the command and the processes that it has started are ended:
by TERM, and after --grace by KILL. Without an answer from the servers that is done
before another machine can have the lock. After the deletion of the key, or the end
of the lease at the server, another machine may have it already. If `run` itself is
killed, the kernel kills the command, but not what the command has started; the
other machines get the lock when the lease ends. A signal during the wait withdraws
at once. -F is refused.

"
    };
}

#[cfg(not(feature = "fleet"))]
macro_rules! fleet_notes {
    () => {
        ""
    };
}

const AFTER: &str = concat!(
    "\
The lock is released when the command ends, in whatever way. If `run` itself is
killed, the lock stays held until the command ends: the command inherits a
descriptor that proves that the owner is alive. The next `run` then recovers the
lock from a dead owner, reports that with -v, and goes on. A command that closes
descriptors that it did not open, as daemons do, closes this one: if `run` is
killed, the lock is free although the command still runs.

With -F no `run` stays beside the command, and only the descriptor holds the lock.
A command that closes it, by closing all descriptors from 3 on, LOSES THE LOCK at
that moment without a message. Use -F only for commands that do not close
descriptors that they did not open.

Signals HUP, INT, QUIT, TERM, USR1, USR2 and ALRM that are sent to `run` alone
are forwarded to the command, a tenth of a second later. A signal to the whole
process group or control group (a key, `kill %1`, systemd) reaches the command by
itself, and is not sent twice: a process \"witness\" beside the command reports
it. A signal that was ignored at the start, as by nohup(1), stays ignored. A
signal that comes before the command is started ends `run`.

`run` declares the lock consistent after the death of an owner, because a command
has no data that the lock knows of. A program that protects data by a lock, and
must be told of every death, must not share it with `run`.

Unlike flock(1), the lock is released when the command ends, even if programs that
it started in the background go on; there is no shared lock; -v writes to
standard error. docs/cli.md has all differences.

",
    fleet_notes!(),
    "\
Exit status:
  any   the command's, or 128+N if signal N ended it
  by N  `run` ends by signal N itself if N was sent to it and ended the command,
        or came while `run` waited for the lock; a shell shows 128+N for both
  1     the lock was not free in time (-n, -w); -E sets another number
",
    fleet_statuses!(),
    "  64, 65, 66, 69, 71, 73, 75  as in `shmlock --help`"
);

/// Run a command under a lock
///
/// Takes the options of flock(1). Everything from CMD on belongs to the command.
#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
#[command(after_long_help = AFTER)]
#[command(override_usage = "shmlock run NAME [OPTIONS] [--] CMD [ARGS]...\n       \
                      shmlock run NAME [OPTIONS] -c LINE")]
pub(crate) struct Args {
    /// The lock's name
    name: String,

    #[command(flatten)]
    waiting: Waiting,

    /// Do not pass the lock's descriptor on: if `run` is killed, the lock is free, and the command
    /// runs on
    #[arg(short = 'o', long = "close")]
    close: bool,

    /// Become the command instead of starting it; it loses the lock if it closes descriptors from
    /// 3 on
    ///
    /// The command is then the owner itself, and its end is the death of an owner. It
    /// holds the lock by a descriptor that it inherits. If it closes it, as daemons do
    /// with descriptors that they did not open, it loses the lock without a message.
    #[arg(short = 'F', long, conflicts_with = "close", verbatim_doc_comment)]
    no_fork: bool,

    /// Use an exclusive lock: the only kind there is, so this changes nothing
    #[arg(short = 'x', long, short_alias = 'e')]
    exclusive: bool,

    /// Do not report a lock that was not free, as without -v
    #[arg(short, long, conflicts_with = "verbose", hide = true)]
    quiet: bool,

    // Options of flock(1) that are refused with the reason, see `check`.
    #[arg(short, long, hide = true)]
    shared: bool,
    #[arg(short, long, hide = true)]
    unlock: bool,
    #[arg(long, hide = true)]
    fcntl: bool,

    /// The reason that others read: at most 63 bytes [default: the command]
    #[arg(short, long, value_name = "TEXT")]
    description: Option<String>,

    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    sharing: Sharing,

    /// Run this line by $SHELL, or /bin/sh, instead of a command
    #[arg(short = 'c', long = "command", value_name = "LINE", conflicts_with = "command")]
    line: Option<OsString>,

    /// The command and its arguments
    #[arg(value_name = "CMD", trailing_var_arg = true)]
    command: Vec<OsString>,

    // Last, because their title in the help is also that of later options.
    #[command(flatten)]
    fleet: fleet::Access,

    #[command(flatten)]
    lease: fleet::Lease,

    #[command(flatten)]
    grace: fleet::Grace,
}

impl Args {
    pub(crate) fn perform(&self) -> Result<Ending, Failure> {
        self.check()?;
        #[cfg(not(feature = "fleet"))]
        self.fleet.refuse()?;
        #[cfg(feature = "fleet")]
        if let Some(cluster) = self.fleet.cluster()? {
            return self.perform_in_fleet(&cluster);
        }
        let mask = Mask::present();
        let builder = self
            .sharing
            .apply(self.place.builder(&self.name), &self.place.path(&self.name))
            .lifeline(!self.close);
        // From the acquisition on signals are for the command: none may end this process before the
        // release.
        let builder =
            builder.block_signals(BlockSignals::WhileHeld).description(&self.description());
        let lock = open(builder)?;
        let interrupts = Interrupts::catch();
        let guard = match acquire(&lock, &self.waiting, self.waiting.verbose)? {
            Acquired::Held(guard) => guard,
            Acquired::Interrupted(ending) => return Ok(ending),
        };
        if self.waiting.verbose {
            remark(&format!("executing {}", escaped(&self.program().to_string_lossy())));
        }
        let ending = self.execute(&guard, mask, interrupts)?;
        guard.release()?;
        Ok(ending)
    }

    #[cfg(feature = "fleet")]
    fn perform_in_fleet(&self, cluster: &fleet::Cluster) -> Result<Ending, Failure> {
        if self.no_fork {
            return Err(Failure::usage(
                "with -F no `run` stays to renew the lease of a fleet lock; omit -F",
            ));
        }
        let target = fleet::Target {
            name: &self.name,
            description: &self.description(),
            waiting: &self.waiting,
            place: &self.place,
            sharing: &self.sharing,
            cluster,
            lease: &self.lease,
            lifeline: !self.close,
        };
        let (program, arguments) = (self.program(), self.arguments());
        fleet::run(&target, &fleet::Job { program, arguments, grace: &self.grace })
    }

    /// Refuses options of flock(1) that this program does not have, with the reason.
    fn check(&self) -> Result<(), Failure> {
        let reason = match () {
            () if self.shared => {
                "there is no shared lock: every lock is exclusive; omit -s, or use flock(1)"
            }
            () if self.unlock => {
                "there is nothing to unlock: a lock is released when its command ends; omit -u"
            }
            () if self.fcntl => "the lock is no lock of a file; omit --fcntl",
            () if self.line.is_none() && self.command.is_empty() => {
                "the command is missing; give one, or a line by -c; see `shmlock run --help`"
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
        let signals = Signals::receive(interrupts).map_err(|error| without_signals(&error))?;
        if let Some(signal) = Interrupts::caught() {
            return Ok(Ending::Signal(signal)); // it came before the command was started
        }
        let image = Image::new(&self.program(), self.arguments(), &[])
            .map_err(|error| cannot_execute(&self.program(), &error))?;
        let plan = Plan { image, mask, lifeline, dies_with_us: false };
        if self.no_fork && lifeline.is_some() {
            return Err(cannot_execute(&self.program(), &child::become_program(&plan)));
        }
        let running = child::Running::start(&plan, &signals);
        let mut running = running.map_err(|error| cannot_execute(&self.program(), &error))?;
        running.wait(&signals).map_err(failed)
    }

    fn arguments(&self) -> Vec<&OsStr> {
        match &self.line {
            Some(line) => vec![OsStr::new("-c"), line],
            None => self.command.iter().skip(1).map(OsString::as_os_str).collect(),
        }
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
}
