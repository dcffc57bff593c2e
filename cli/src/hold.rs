//! `hold`: holds a lock until told otherwise, for trying things out.

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

use crate::acquire::{Taken, open, take};
use crate::args::{Sharing, Waiting, Where, seconds};
use crate::exit::{Ending, Failure, SYSTEM};
use crate::signals::{Arrived, Interrupts, Signals};

const AFTER: &str = "\
The input is watched if it is a terminal, a pipe or a socket. If it is a file or
/dev/null, as in `shmlock hold NAME &` of a script, only a signal ends the hold,
or its time. In the background of a terminal the input is left alone.

Exit status:
  0   held, and released after Enter, the end of the input, or --for
  1   the lock was not free in time (-n, -w), or what -E says
  by N  signal N came: the lock was released, and `hold` ends by it; a shell says
        128+N
  64, 65, 66, 71, 73, 75  as in `shmlock --help`";

/// How often a process in the background of a terminal looks whether the shell has fetched it to
/// the foreground: nothing tells it. Arbitrary: no more than a person notices.
const LOOK: Duration = Duration::from_millis(250);

/// Hold a lock until Enter, the end of the input, or a signal
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Args {
    /// The lock's name
    name: String,

    #[command(flatten)]
    waiting: Waiting,

    /// Do not say who has the lock when it was not free
    #[arg(short, long)]
    quiet: bool,

    /// What others read about why the lock is held: at most 63 bytes
    #[arg(short, long, value_name = "TEXT", default_value = "shmlock hold")]
    description: String,

    /// Hold for so long; then input that is not a terminal's does not end it
    #[arg(long = "for", value_name = "SECS", value_parser = seconds)]
    time: Option<Duration>,

    #[command(flatten)]
    place: Where,

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
        let guard = match take(&lock, &self.waiting, !self.quiet)? {
            Taken::Held(guard) => guard,
            Taken::Interrupted(ending) => return Ok(ending),
        };
        let failed =
            |error| Failure::new(SYSTEM, format!("cannot wait: {error}; the lock was released"));
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
            guard.fencing_token()
        )?;
        out.flush()?;
        let ending = match Interrupts::caught() {
            Some(signal) => Ending::Signal(signal),
            None => self.wait(&signals, input).map_err(failed)?,
        };
        drop(signals); // from here on none of them ends this process before the lock is closed
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
            let look = (input == Input::Terminal && !input.is_watched()).then_some(LOOK);
            // More than the clock can count is as good as for ever.
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
                // What was typed is not the shell's next command. A part of a line is not waited
                // on: a signal may come first.
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

/// What standard input is to `hold`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    /// It is there to be read, and its end means something: a pipe or a socket.
    Stream,
    /// A terminal: it is read while this process is in its foreground.
    Terminal,
    /// It is always at its end, as `/dev/null` is, or another program's to read.
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

    /// Returns `true` if it may be read just now. In the background of a terminal reading would
    /// stop this process, and the lock would stay held.
    fn is_watched(self) -> bool {
        match self {
            Self::Stream => true,
            Self::Terminal => tcgetpgrp(stdin()).map_or(true, |foreground| foreground == getpgrp()),
            Self::Ignored => false,
        }
    }
}
