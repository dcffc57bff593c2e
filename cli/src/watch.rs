//! `watch`: locks as they change.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write, stdout};
use std::thread;
use std::time::{Duration, Instant};

use rustix::termios::tcgetwinsize;

use crate::args::{Where, seconds};
use crate::display::{known, shown, yes};
use crate::exit::Failure;
use crate::process::Users;
use crate::report::{Report, State};
use crate::table::{Cell, Table, left, right};

const AFTER: &str = "\
PER-S is the number of acquisitions in a second, by anybody, since the picture
before. On a terminal the picture is redrawn in place, and cut to its size.
Elsewhere each lock is one line each time.

Exit status:
  0   after --count pictures
  64, 65, 66, 71, 74  as in `shmlock --help`";

/// Show locks as they change
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Args {
    /// The lock's name [default: all locks, those to come included]
    name: Option<String>,

    /// Seconds between two pictures
    #[arg(short, long, value_name = "SECS", default_value = "1", value_parser = seconds)]
    interval: Duration,

    /// Stop after this many pictures
    #[arg(short, long, value_name = "N")]
    count: Option<u64>,

    #[command(flatten)]
    place: Where,
}

/// What a lock's rate is counted from.
type Counts = BTreeMap<String, (Instant, Option<u64>)>;

impl Args {
    pub(crate) fn perform(&self) -> Result<u8, Failure> {
        if let Some(name) = &self.name {
            self.place.builder(name).inspect()?; // a bad name is said once, and not in each picture
        }
        let in_place =
            stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let (mut counts, mut drawn) = (Counts::new(), 0);
        for picture in 0.. {
            if self.count == Some(picture) {
                break;
            }
            if picture > 0 {
                thread::sleep(self.interval);
            }
            let locks = self.look()?;
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

    fn look(&self) -> Result<Vec<Report>, Failure> {
        let users = Users::look();
        let names = self.name.clone().map_or_else(|| self.place.names(), |name| Ok(vec![name]))?;
        Ok(names.iter().map(|name| Report::of(name, &self.place, &users)).collect())
    }
}

/// Acquisitions in a second since the last look. A new file begins to count anew.
fn rate(counts: &mut Counts, lock: &Report, now: Instant) -> String {
    let before = counts.insert(lock.name.clone(), (now, lock.acquisitions));
    let since = before
        .and_then(|(then, count)| Some((now - then, lock.acquisitions?.checked_sub(count?)?)));
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    since
        .filter(|(time, _)| !time.is_zero())
        .map_or("-".to_owned(), |(time, more)| format!("{:.1}", more as f64 / time.as_secs_f64()))
}

fn line(lock: &Report, rate: &str) -> String {
    let mut parts = vec![format!("{}: {}", shown(&lock.name), lock.state.name())];
    if let Some(owner) = &lock.owner {
        parts.push(format!("by {}", owner.process()));
        parts.push(format!("for {}", lock.held_for()));
    }
    if !lock.why().is_empty() {
        parts.push(format!("\"{}\"", lock.why()));
    }
    if !matches!(lock.state, State::Absent | State::Unreadable) {
        let (waiters, deaths) = (lock.waiters.map_or("-", yes), known(lock.deaths));
        parts.push(format!("{rate} per s, waiters: {waiters}, deaths: {deaths}"));
    }
    parts.join(", ")
}

/// Draws over what was drawn before, which had `drawn` lines; says how many lines there are now.
fn draw(locks: &[Report], rates: &[String], drawn: usize) -> io::Result<usize> {
    let (width, height) = size();
    // One line for the titles, one for the cursor below, one for what does not fit.
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
            shown(&lock.name).into(),
            Cell::styled(lock.state.name(), lock.state.style()),
            lock.pid().into(),
            lock.command().into(),
            lock.held_for().into(),
            rate.into(),
            lock.waiters.map_or("-", yes).into(),
            known(lock.deaths).into(),
            lock.why().into(),
        ]);
    }
    let hidden = locks.len().saturating_sub(fit);
    // Moving the cursor is no colour: it goes to the terminal whatever NO_COLOR says. ECMA-48, CPL
    // and ED.
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

/// Columns and lines of the terminal; a usual size if it does not say.
fn size() -> (usize, usize) {
    match tcgetwinsize(stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => (80, 24),
    }
}
