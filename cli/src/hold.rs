//! `hold`: holds a lock until Enter, a signal, or the end of a time, for experiments.

use std::io::{IsTerminal, Write, stdin};
use std::os::fd::AsFd;
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
use crate::exit::{Ending, Failure, SYSTEM};
use crate::signals::{Arrived, Interrupts, Signals};

const AFTER: &str = "\
The input ends the hold if it is a terminal, a pipe or a socket. If it is a file
or /dev/null, as in `shmlock hold NAME &` of a script, only a signal or the time
ends the hold. In the background of a terminal `hold` does not read the input.

Exit status:
  0   held, and released after Enter, the end of the input, or --for
  1   the lock was not free in time (-n, -w); -E sets another number
  by N  signal N came: the lock was released, and `hold` ends by it; a shell shows
        128+N
  64, 65, 66, 71, 73, 75  as in `shmlock --help`";

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
}

impl Args {
    pub(crate) fn perform(&self) -> Result<Ending, Failure> {
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
        let failed = |error| {
            Failure::new(
                SYSTEM,
                format!("cannot wait for input and signals: {error}; the lock was released"),
            )
        };
        let signals = Signals::receive(interrupts).map_err(failed)?;
        let input = Input::of(self.time.is_some());
        let until = match (self.time, input) {
            (None, Input::Ignored) => "a signal",
            (None, _) => "Enter or a signal",
            (Some(_), Input::Ignored) => "its time or a signal",
            (Some(_), _) => "Enter or its time or a signal",
        };
        let mut out = anstream::stdout();
        writeln!(
            out,
            "holding {:?} (fencing token {}) until {until}",
            self.name,
            guard.fencing_token().unwrap_or_default()
        )?;
        out.flush()?;
        let ending = match Interrupts::caught() {
            Some(signal) => Ending::Signal(signal),
            None => self.wait(&signals, input).map_err(failed)?,
        };
        drop(signals); // from here on no signal ends this process before the lock is closed
        guard.release()?;
        Ok(ending)
    }

    fn wait(&self, signals: &Signals, input: Input) -> std::io::Result<Ending> {
        let end = self.time.and_then(|time| Instant::now().checked_add(time));
        let descriptor = stdin();
        loop {
            while let Some(arrived) = signals.next()? {
                if let Arrived::Sent(sent) = arrived {
                    return Ok(Ending::Signal(sent.signal));
                }
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let look =
                (input == Input::Terminal && !input.is_watched()).then_some(FOREGROUND_CHECK);
            // A time that is longer than the clock can count has no end.
            let timeout =
                left.into_iter().chain(look).min().and_then(|left| Timespec::try_from(left).ok());
            let mut ready = [
                PollFd::new(signals, PollFlags::IN),
                PollFd::from_borrowed_fd(descriptor.as_fd(), PollFlags::IN),
            ];
            let watched = if input.is_watched() { 2 } else { 1 };
            match poll(&mut ready[..watched], timeout.as_ref()) {
                Ok(0) if end.is_some_and(|end| end <= Instant::now()) => {
                    return Ok(Ending::Code(0));
                }
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            if ready[0].revents().is_empty() && !ready[1].revents().is_empty() && input.is_watched()
            {
                // The typed line must not be left for the shell. A part of a line does not block:
                // a signal may come before its rest.
                let mut typed = [0; 4096];
                match rustix::io::read(&descriptor, &mut typed) {
                    Ok(1..) if !typed.contains(&b'\n') => {}
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    _ => return Ok(Ending::Code(0)),
                }
            }
        }
    }
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
