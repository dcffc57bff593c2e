//! Ends the program: the exit status, and the one line about a failure.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use shmlock::{Errno, Error};

use crate::hint::explain;
use crate::signals::end_by;

/// The lock was not free in time, or it needs attention.
pub(crate) const CONFLICT: u8 = 1;
// sysexits.h, as flock(1) uses it.
pub(crate) const USAGE: u8 = 64;
pub(crate) const DATA: u8 = 65;
pub(crate) const NO_INPUT: u8 = 66;
pub(crate) const UNAVAILABLE: u8 = 69;
pub(crate) const SYSTEM: u8 = 71;
pub(crate) const CANNOT_CREATE: u8 = 73;
const IO: u8 = 74;
const TRY_LATER: u8 = 75;
/// No server of the fleet's cluster can answer (`EX_NOHOST`).
#[cfg(feature = "fleet")]
pub(crate) const NO_SERVER: u8 = 68;
/// The server cannot keep the lock: no etcd, too old, full (`EX_PROTOCOL`).
#[cfg(feature = "fleet")]
pub(crate) const WRONG_SERVER: u8 = 76;
/// The certificate, the password or the right was refused (`EX_NOPERM`).
#[cfg(feature = "fleet")]
pub(crate) const REFUSED: u8 = 77;
/// The lock over machines was lost. The first number after those of sysexits.h.
#[cfg(feature = "fleet")]
pub(crate) const LOST: u8 = 79;
/// Added to the number of the signal that ended a program.
pub(crate) const BY_SIGNAL: u8 = 128;

/// The lines about a fleet lock in the exit statuses of `run` and `hold`.
#[cfg(feature = "fleet")]
macro_rules! fleet_statuses {
    () => {
        "  79  --fleet: the lock was lost before its release; `run` has ended the command
  68, 76, 77  --fleet: as in `shmlock --help`
"
    };
}

#[cfg(not(feature = "fleet"))]
macro_rules! fleet_statuses {
    () => {
        ""
    };
}

pub(crate) use fleet_statuses;

/// The columns of `list --fleet`.
#[cfg(feature = "fleet")]
macro_rules! fleet_columns {
    () => {
        "
Columns with --fleet, which shows the locks that are held:
  HOST, PID     the holder's machine, and its process id there
  ARRIVED       the time since the holder has queued, by its machine's clock
  WAITERS       the number of machines that wait
  TOKEN         the holder's fencing token
"
    };
}

/// The line about a fleet lock in the exit statuses of `status` and `list`.
#[cfg(feature = "fleet")]
macro_rules! fleet_view_statuses {
    () => {
        "
  64, 66, 68, 71, 76, 77  --fleet: as in `shmlock --help`"
    };
}

#[cfg(not(feature = "fleet"))]
macro_rules! fleet_columns {
    () => {
        ""
    };
}

#[cfg(not(feature = "fleet"))]
macro_rules! fleet_view_statuses {
    () => {
        ""
    };
}

pub(crate) use {fleet_columns, fleet_view_statuses};

/// The lines of `GENERAL` about a fleet lock: exit statuses, variables.
#[cfg(feature = "fleet")]
macro_rules! fleet_in_general {
    (server) => {
        "  68  --fleet: no server answers for the cluster: check it, or try later
"
    };
    (statuses) => {
        "  76  --fleet: the server cannot keep the lock: no etcd, too old, its database full,
      or the URLs lead to two clusters
  77  --fleet: a certificate, the password or a right was refused
  79  --fleet: the lock was lost
"
    };
    (variables) => {
        "
  SHMLOCK_FLEET  the URLs for `--fleet env`
  SHMLOCK_FLEET_CA, _CERT, _KEY, _USER, _PASSWORD_FILE  the values of these options
  SHMLOCK_FLEET_PASSWORD  the password itself, if there is no file
  SHMLOCK_FENCING_TOKEN, SHMLOCK_LOCK_NAME  set for the command of `run --fleet`"
    };
}

#[cfg(not(feature = "fleet"))]
macro_rules! fleet_in_general {
    ($_part:ident) => {
        ""
    };
}

/// The part of the help that all verbs share.
pub(crate) const GENERAL: &str = concat!(
    "\
Exit status:
  0   done
  1   see the verb
  64  the arguments are wrong, or no lock can have this name
  65  the file is no lock, or not one to trust; it was left alone
  66  the lock's file or directory is not there, or access is denied
",
    fleet_in_general!(server),
    "  69  run: the command cannot be executed
  71  the system refused: out of descriptors or memory, no byte locks
  73  the lock's file cannot be created
  74  the output cannot be written
  75  try later: a process is stopped while it closes the lock, or the lock's
      file was removed while in use
",
    fleet_in_general!(statuses),
    "  128+N  ended by signal N; `run` and `hold` then end by it themselves

Environment:
  NO_COLOR  if set and not empty, no output is coloured; output that does not go
            to a terminal never is
  SHELL     the shell of `run -c`",
    fleet_in_general!(variables)
);

/// How the program ends after its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With this exit status.
    Code(u8),
    /// By this signal, so that the parent sees it.
    Signal(i32),
}

impl Ending {
    /// Ends by the signal, or returns the exit status. All locks are closed by then.
    pub(crate) fn carry_out(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => {
                end_by(signal);
                u8::try_from(signal).map_or(u8::MAX, |signal| BY_SIGNAL.saturating_add(signal))
            }
        }
    }
}

impl From<u8> for Ending {
    fn from(code: u8) -> Self {
        Self::Code(code)
    }
}

/// A failure: one line with the hint, and the exit status.
#[derive(Debug)]
pub(crate) struct Failure {
    line: Option<String>,
    code: u8,
}

impl Failure {
    pub(crate) fn new(code: u8, line: impl Into<String>) -> Self {
        Self { line: Some(line.into()), code }
    }

    pub(crate) fn usage(line: impl Into<String>) -> Self {
        Self::new(USAGE, line)
    }

    /// Makes a failure without a line.
    pub(crate) fn silent(code: u8) -> Self {
        Self { line: None, code }
    }

    pub(crate) fn code(&self) -> u8 {
        self.code
    }

    /// Writes the line to standard error.
    pub(crate) fn say(&self) {
        if let Some(line) = &self.line {
            say(AnsiColor::Red.on_default().bold(), line);
        }
    }
}

/// Writes a line that is not the program's output to standard error.
pub(crate) fn remark(line: &str) {
    say(Style::new().bold(), line);
}

fn say(style: Style, line: &str) {
    // A failure to write to standard error cannot be reported.
    let _ = writeln!(anstream::stderr(), "{style}shmlock{style:#}: {line}");
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match &error {
            Error::InvalidName { .. }
            | Error::DescriptionTooLong { .. }
            | Error::InvalidMode { .. } => USAGE,
            Error::NotALock { .. }
            | Error::ForeignOwner { .. }
            | Error::ModeTooWide { .. }
            | Error::InUseWithOtherMode { .. } => DATA,
            Error::OpenTimedOut { .. } | Error::Orphaned { .. } => TRY_LATER,
            Error::System { errno: Errno::ROFS | Errno::NOSPC | Errno::DQUOT, .. } => CANNOT_CREATE,
            Error::System {
                errno: Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::PERM,
                ..
            } => NO_INPUT,
            _ => SYSTEM,
        };
        Self::new(code, explain(&error))
    }
}

/// Makes the failure of a process that cannot receive signals. Nothing has run under the lock.
pub(crate) fn without_signals(error: &io::Error) -> Failure {
    Failure::new(
        SYSTEM,
        format!(
            "cannot wait for signals: {error}; the lock was released; close descriptors or raise \
             their limit (ulimit -n)"
        ),
    )
}

impl From<io::Error> for Failure {
    /// Makes the failure of the program's output. All other such errors are converted with a text.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::silent(BY_SIGNAL + 13); // as if by SIGPIPE, which Rust programs ignore
        }
        Self::new(IO, format!("cannot write the output: {error}; check its file or pipe"))
    }
}
