//! `watch`: shows locks as they change.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write, stdout};
use std::thread;
use std::time::{Duration, Instant};

use rustix::termios::tcgetwinsize;

use crate::args::{Place, seconds};
use crate::display::{escaped, or_dash, yes_or_no};
use crate::exit::Failure;
use crate::process::Users;
use crate::report::{Report, State};
use crate::table::{Cell, Table, left, right};

const AFTER: &str = "\
PER-S is the number of acquisitions per second since the last update, by all
processes. On a terminal the table is redrawn in place, and cut to its size.
Elsewhere each update has one line for each lock.

Exit status:
  0   after --count updates
  64, 65, 66, 71, 74  as in `shmlock --help`";

/// Show locks as they change
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Args {
    /// The lock's name [default: all locks, new ones included]
    name: Option<String>,

    /// Seconds between two updates
    #[arg(short, long, value_name = "SECS", default_value = "1", value_parser = seconds)]
    interval: Duration,

    /// Stop after this many updates
    #[arg(short, long, value_name = "N")]
    count: Option<u64>,

    #[command(flatten)]
    place: Place,
}

/// For each lock the time and the count of its last update.
type Counts = BTreeMap<String, (Instant, Option<u64>)>;

impl Args {
    pub(crate) fn perform(&self) -> Result<u8, Failure> {
        if let Some(name) = &self.name {
            self.place.builder(name).inspect()?; // reports a bad name once, not in each update
        }
        let in_place =
            stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let (mut counts, mut drawn) = (Counts::new(), 0);
        for update in 0.. {
            if self.count == Some(update) {
                break;
            }
            if update > 0 {
                thread::sleep(self.interval);
            }
            let locks = self.inspect()?;
            let rates: Vec<_> =
                locks.iter().map(|lock| rate(&mut counts, lock, Instant::now())).collect();
            if in_place {
                drawn = draw(&locks, &rates, drawn)?;
            } else {
                let mut out = anstream::stdout();
                locks
                    .iter()
                    .zip(&rates)
                    .try_for_each(|(lock, rate)| writeln!(out, "{}", line(lock, rate)))?;
                out.flush()?;
            }
        }
        Ok(0)
    }

    fn inspect(&self) -> Result<Vec<Report>, Failure> {
        let users = Users::scan();
        let names = self.name.clone().map_or_else(|| self.place.names(), |name| Ok(vec![name]))?;
        Ok(names.iter().map(|name| Report::of(name, &self.place, &users)).collect())
    }
}

/// Returns the acquisitions per second since the last update. A new file counts from zero again.
fn rate(counts: &mut Counts, lock: &Report, now: Instant) -> String {
    let before = counts.insert(lock.name.clone(), (now, lock.acquisitions));
    let since = before
        .and_then(|(then, count)| Some((now - then, lock.acquisitions?.checked_sub(count?)?)));
    #[allow(clippy::cast_precision_loss, reason = "a rate has one decimal")]
    since
        .filter(|(time, _)| !time.is_zero())
        .map_or("-".to_owned(), |(time, more)| format!("{:.1}", more as f64 / time.as_secs_f64()))
}

fn line(lock: &Report, rate: &str) -> String {
    let mut parts = vec![format!("{}: {}", escaped(&lock.name), lock.state.name())];
    if let Some(owner) = &lock.owner {
        parts.push(format!("by {}", owner.process()));
        parts.push(format!("for {}", lock.held_for()));
    }
    if !lock.reason().is_empty() {
        parts.push(format!("\"{}\"", lock.reason()));
    }
    if !matches!(lock.state, State::Absent | State::Unreadable) {
        let (waiters, deaths) = (lock.waiters.map_or("-", yes_or_no), or_dash(lock.deaths));
        parts.push(format!("{rate} per s, waiters: {waiters}, deaths: {deaths}"));
    }
    parts.join(", ")
}

/// Draws over the last table, which had `drawn` lines; returns the number of lines.
fn draw(locks: &[Report], rates: &[String], drawn: usize) -> io::Result<usize> {
    let (width, height) = size();
    // One line is for the titles, one for the cursor, one for the number of hidden locks.
    let fit = height.saturating_sub(3).max(1);
    let mut table = Table::new([
        left("NAME"),
        left("STATE"),
        right("PID"),
        left("COMMAND"),
        right("HELD"),
        right("PER-S"),
        left("WAIT"),
        right("DEATHS"),
        left("DESCRIPTION"),
    ]);
    for (lock, rate) in locks.iter().zip(rates).take(fit) {
        table.row([
            escaped(&lock.name).into(),
            Cell::styled(lock.state.name(), lock.state.style()),
            lock.pid().into(),
            lock.command().into(),
            lock.held_for().into(),
            rate.into(),
            lock.waiters.map_or("-", yes_or_no).into(),
            or_dash(lock.deaths).into(),
            lock.reason().into(),
        ]);
    }
    let hidden = locks.len().saturating_sub(fit);
    // Not through anstream: moving the cursor is no colour, and independent of NO_COLOR. ECMA-48,
    // CPL and ED.
    if drawn > 0 {
        write!(stdout(), "\x1b[{drawn}F\x1b[J")?;
    }
    let mut out = anstream::stdout();
    table.write(&mut out, true, width)?;
    if hidden > 0 {
        writeln!(out, "and {hidden} more")?;
    }
    out.flush()?;
    Ok(1 + locks.len().min(fit) + usize::from(hidden > 0))
}

/// Returns the columns and lines of the terminal; 80 by 24 if it has no size.
fn size() -> (usize, usize) {
    match tcgetwinsize(stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => (80, 24),
    }
}
