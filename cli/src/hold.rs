//! `hold`: holds a lock until Enter, a signal, or the end of a time, for experiments.

use std::io::{IsTerminal, Write, stdin};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;
use rustix::time::Timespec;
use shmlock::BlockSignals;

use crate::acquire::{Acquired, acquire, open};
use crate::args::{Place, Sharing, Waiting, seconds};
use crate::exit::{Ending, Failure, SYSTEM, fleet_statuses, without_signals};
use crate::fleet;
use crate::signals::{Arrived, Interrupts, Signals};

const AFTER: &str = concat!(
    "\
The input ends the hold if it is a terminal, a pipe or a socket. If it is a file
or /dev/null, as in `shmlock hold NAME &` of a script, only a signal or the time
ends the hold. In the background of a terminal `hold` does not read the input.

Exit status:
  0   held, and released after Enter, the end of the input, or --for
  1   the lock was not free in time (-n, -w); -E sets another number
",
    fleet_statuses!(),
    "  by N  signal N came: the lock was released, and `hold` ends by it; a shell shows
        128+N
  64, 65, 66, 71, 73, 75  as in `shmlock --help`"
);

/// The interval at which a process in the background of a terminal checks whether it is in the
/// foreground: the shell does not tell it. Arbitrary: a person does not notice it.
const FOREGROUND_CHECK: Duration = Duration::from_millis(250);

/// Hold a lock until Enter, the end of the input, or a signal
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Args {
    /// The lock's name
    name: String,

    #[command(flatten)]
    waiting: Waiting,

    /// Do not name the holder if the lock was not free
    #[arg(short, long)]
    quiet: bool,

    /// The reason that others read: at most 63 bytes
    #[arg(short, long, value_name = "TEXT", default_value = "shmlock hold")]
    description: String,

    /// Hold for this time; then only a terminal's input ends it earlier
    #[arg(long = "for", value_name = "SECS", value_parser = seconds)]
    time: Option<Duration>,

    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    sharing: Sharing,

    #[command(flatten)]
    fleet: fleet::Access,

    #[command(flatten)]
    lease: fleet::Lease,
}

impl Args {
    pub(crate) fn perform(&self) -> Result<Ending, Failure> {
        #[cfg(not(feature = "fleet"))]
        self.fleet.refuse()?;
        #[cfg(feature = "fleet")]
        if let Some(cluster) = self.fleet.cluster()? {
            return self.perform_in_fleet(&cluster);
        }
        let builder = self
            .sharing
            .apply(self.place.builder(&self.name), &self.place.path(&self.name))
            .block_signals(BlockSignals::WhileHeld);
        let lock = open(builder.description(&self.description))?;
        let interrupts = Interrupts::catch();
        let guard = match acquire(&lock, &self.waiting, !self.quiet)? {
            Acquired::Held(guard) => guard,
            Acquired::Interrupted(ending) => return Ok(ending),
        };
        let signals = Signals::receive(interrupts).map_err(|error| without_signals(&error))?;
        let ending = self.keep(&signals, guard.fencing_token().unwrap_or_default(), None)?;
        drop(signals); // from here on no signal ends this process before the lock is closed
        guard.release()?;
        Ok(ending.unwrap_or(Ending::Code(0)))
    }

    #[cfg(feature = "fleet")]
    fn perform_in_fleet(&self, cluster: &fleet::Cluster) -> Result<Ending, Failure> {
        let target = fleet::Target {
            name: &self.name,
            description: &self.description,
            waiting: &self.waiting,
            place: &self.place,
            sharing: &self.sharing,
            cluster,
            lease: &self.lease,
            lifeline: false,
        };
        fleet::hold(&target, !self.quiet, |signals, token, beside| {
            self.keep(signals, token, Some(beside))
        })
    }

    /// Says that the lock is held, and waits for the end of the hold. `None` if `beside` was
    /// readable before.
    fn keep(
        &self,
        signals: &Signals,
        token: u64,
        beside: Option<BorrowedFd<'_>>,
    ) -> Result<Option<Ending>, Failure> {
        let input = Input::of(self.time.is_some());
        let until = match (self.time, input) {
            (None, Input::Ignored) => "a signal",
            (None, _) => "Enter or a signal",
            (Some(_), Input::Ignored) => "its time or a signal",
            (Some(_), _) => "Enter or its time or a signal",
        };
        let mut out = anstream::stdout();
        writeln!(out, "holding {:?} (fencing token {token}) until {until}", self.name)?;
        out.flush()?;
        match Interrupts::caught() {
            Some(signal) => Ok(Some(Ending::Signal(signal))),
            None => self.wait(signals, input, beside).map_err(|error| cannot_wait(&error)),
        }
    }

    fn wait(
        &self,
        signals: &Signals,
        input: Input,
        beside: Option<BorrowedFd<'_>>,
    ) -> std::io::Result<Option<Ending>> {
        let end = self.time.and_then(|time| Instant::now().checked_add(time));
        let descriptor = stdin();
        loop {
            while let Some(arrived) = signals.next()? {
                if let Arrived::Sent(sent) = arrived {
                    return Ok(Some(Ending::Signal(sent.signal)));
                }
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let look =
                (input == Input::Terminal && !input.is_watched()).then_some(FOREGROUND_CHECK);
            // A time that is longer than the clock can count has no end.
            let timeout =
                left.into_iter().chain(look).min().and_then(|left| Timespec::try_from(left).ok());
            let mut ready = vec![PollFd::new(signals, PollFlags::IN)];
            ready.extend(beside.map(|beside| PollFd::from_borrowed_fd(beside, PollFlags::IN)));
            let is_watched = input.is_watched();
            if is_watched {
                ready.push(PollFd::from_borrowed_fd(descriptor.as_fd(), PollFlags::IN));
            }
            match poll(&mut ready, timeout.as_ref()) {
                Ok(0) if end.is_some_and(|end| end <= Instant::now()) => {
                    return Ok(Some(Ending::Code(0)));
                }
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            let is_ready = |one: &PollFd<'_>| !one.revents().is_empty();
            if beside.is_some() && is_ready(&ready[1]) {
                return Ok(None);
            }
            if is_watched && !is_ready(&ready[0]) && ready.last().is_some_and(is_ready) {
                // The typed line must not be left for the shell. A part of a line does not block:
                // a signal may come before its rest.
                let mut typed = [0; 4096];
                match rustix::io::read(&descriptor, &mut typed) {
                    Ok(1..) if !typed.contains(&b'\n') => {}
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    _ => return Ok(Some(Ending::Code(0))),
                }
            }
        }
    }
}

fn cannot_wait(error: &std::io::Error) -> Failure {
    let line = format!("cannot wait for input and signals: {error}; the lock was released");
    Failure::new(SYSTEM, line)
}

/// The kind of standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    /// A pipe or a socket: its end ends the hold.
    Stream,
    /// A terminal: it is read while this process is in its foreground.
    Terminal,
    /// Always at its end, as `/dev/null`, or meant for another program.
    Ignored,
}

impl Input {
    fn of(has_time: bool) -> Self {
        if stdin().is_terminal() {
            return Self::Terminal;
        }
        let kind = fstat(stdin()).map(|stat| FileType::from_raw_mode(stat.st_mode));
        match kind {
            Ok(FileType::Fifo | FileType::Socket) if !has_time => Self::Stream,
            _ => Self::Ignored,
        }
    }

    /// Returns `true` if it may be read now. A read in the background of a terminal would stop this
    /// process, which would keep the lock.
    fn is_watched(self) -> bool {
        match self {
            Self::Stream => true,
            Self::Terminal => tcgetpgrp(stdin()).map_or(true, |foreground| foreground == getpgrp()),
            Self::Ignored => false,
        }
    }
}
