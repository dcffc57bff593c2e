//! `hold`: holds a lock until told otherwise, for trying things out.

use std::io::{IsTerminal, Write, stdin};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::time::Timespec;
use shmlock::BlockSignals;

use crate::args::{Sharing, Waiting, Where, seconds};
use crate::exit::{BY_SIGNAL, Failure, SYSTEM};
use crate::signals::{Arrived, Signals};
use crate::taking::take;

const AFTER: &str = "\
Exit status:
  0   held, and given back after Enter, the end of the input, or --for
  1   the lock was not to be had (-n, -w), or what -E says
  128+N  signal N came; the lock was given back
  64, 65, 66, 71, 73, 75  as in `shmlock --help`";

/// Hold a lock until Enter, the end of the input, or a signal
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Args {
    /// The lock's name
    name: String,

    #[command(flatten)]
    waiting: Waiting,

    /// What others read about why the lock is held: at most 63 bytes
    #[arg(short, long, value_name = "TEXT", default_value = "shmlock hold")]
    description: String,

    /// Hold for so long; then input that is no terminal's does not end it
    #[arg(long = "for", value_name = "SECS", value_parser = seconds)]
    time: Option<Duration>,

    #[command(flatten)]
    place: Where,

    #[command(flatten)]
    sharing: Sharing,
}

/// Why holding ended.
enum End {
    Input,
    Time,
    Signal(u8),
}

impl Args {
    pub(crate) fn perform(&self) -> Result<u8, Failure> {
        let builder = self.sharing.apply(self.place.builder(&self.name)).block_signals(BlockSignals::WhileHeld);
        let lock = builder.description(&self.description).open()?;
        let guard = take(&lock, &self.waiting)?;
        let failed = |error| Failure::new(SYSTEM, format!("cannot wait: {error}; the lock was given back"));
        let signals = Signals::receive().map_err(failed)?;
        let until = match (self.time, self.watches_input()) {
            (None, _) => "Enter",
            (Some(_), true) => "Enter or its time",
            (Some(_), false) => "its time",
        };
        let mut out = anstream::stdout();
        writeln!(out, "holding {:?} (fencing token {}) until {until} or a signal", self.name, guard.fencing_token())?;
        out.flush()?;
        let end = self.wait(&signals).map_err(failed)?;
        signals.end();
        guard.release()?;
        Ok(match end {
            End::Input | End::Time => 0,
            End::Signal(number) => BY_SIGNAL + number,
        })
    }

    fn watches_input(&self) -> bool {
        self.time.is_none() || stdin().is_terminal()
    }

    fn wait(&self, signals: &Signals) -> std::io::Result<End> {
        let end = self.time.and_then(|time| Instant::now().checked_add(time));
        let input = stdin();
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            // More than the clock can count is as good as for ever.
            let timeout = left.and_then(|left| Timespec::try_from(left).ok());
            let mut ready =
                [PollFd::new(signals, PollFlags::IN), PollFd::from_borrowed_fd(input.as_fd(), PollFlags::IN)];
            let watched = if self.watches_input() { 2 } else { 1 };
            match poll(&mut ready[..watched], timeout.as_ref()) {
                Ok(0) => return Ok(End::Time),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            if !ready[0].revents().is_empty() {
                if let Arrived::Sent(number) | Arrived::FromTerminal(number) = signals.next()? {
                    return Ok(End::Signal(u8::try_from(number).unwrap_or(0)));
                }
            } else if !ready[1].revents().is_empty() {
                // What was typed is not the shell's next command. A part of a line is not waited on: a signal may come first.
                let mut typed = [0; 4096];
                match rustix::io::read(&input, &mut typed) {
                    Ok(1..) if !typed.contains(&b'\n') => {}
                    Err(Errno::INTR | Errno::AGAIN) => {}
                    _ => return Ok(End::Input),
                }
            }
        }
    }
}
