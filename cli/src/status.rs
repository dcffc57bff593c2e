//! `status`: one lock, all that can be seen of it.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use shmlock::Error;

use crate::args::Where;
use crate::display::{known, quiet_json, shown, yes};
use crate::exit::{CONFLICT, Failure};
use crate::process::Users;
use crate::report::{Report, State};

const AFTER: &str = "\
A lock that nobody has open has no file: it is \"absent\", as good as free.
\"waiters\" is yes until the lock is given back, though whoever waited may have
given up.

Of a lock that cannot be read is shown what can be seen without: whose file it
is, its mode, and whether anybody has it open. The exit status tells the reason.

Exit status:
  0   the lock is in order: free, held, or absent
  1   an owner died holding it, and nobody has declared the data consistent since
  64, 65, 66, 71  as in `shmlock --help`";

/// Show who holds a lock, since when and why
///
/// Looks from outside: changes nothing, and needs no more than the right to read the lock's file.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Args {
    /// The lock's name
    name: String,

    /// As one JSON object
    #[arg(short = 'J', long)]
    json: bool,

    #[command(flatten)]
    place: Where,
}

impl Args {
    pub(crate) fn perform(&self) -> Result<u8, Failure> {
        let look = match self.place.builder(&self.name).inspect() {
            Err(error @ Error::InvalidName { .. }) => return Err(error.into()),
            look => look,
        };
        let report = Report::of_look(&self.name, &self.place, &Users::look(), look.as_ref());
        let mut out = anstream::stdout();
        if self.json {
            let json = serde_json::to_string_pretty(&report).map_err(std::io::Error::from)?;
            writeln!(out, "{}", quiet_json(&json))?;
        } else {
            let (style, bold) = (report.state.style(), Style::new().bold());
            writeln!(
                out,
                "{bold}{}{bold:#}: {style}{}{style:#}",
                shown(&report.name),
                in_words(report.state)
            )?;
            for (label, text) in lines(&report) {
                writeln!(out, "  {label:<13} {text}")?;
            }
        }
        out.flush()?;
        // A lock that cannot be read is this verb's failure; what can be seen of it is said all the
        // same.
        if let Err(error) = look {
            let failure = Failure::from(error);
            if !self.json {
                failure.say();
            }
            return Ok(failure.code());
        }
        Ok(if report.needs_attention() { CONFLICT } else { 0 })
    }
}

fn in_words(state: State) -> &'static str {
    match state {
        State::Absent => "absent: nobody has it open, so it is as good as free",
        State::Free => "free",
        State::Held => "held",
        State::Dead => "its owner is dead; the next owner recovers it",
        State::Unreadable => "cannot be read; this is what can be seen",
    }
}

fn lines(report: &Report) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(owner) = &report.owner {
        let mut who = owner.process();
        if owner.pid_is_gone == Some(true) && report.state == State::Held {
            who += "; its program goes on, see users";
        }
        lines.push(("owner", who));
        lines.extend(owner.uuid().map(|uuid| ("uuid", uuid)));
        lines.extend(owner.held_for().map(|held| ("for", held)));
        if !owner.description().is_empty() {
            lines.push(("description", shown(owner.description())));
        }
    }
    if matches!(report.state, State::Free | State::Held | State::Dead) {
        let red = AnsiColor::Red.on_default().bold();
        let died = match report.state {
            State::Dead => format!("{red}yes{red:#}, and nobody has taken the lock over since"),
            _ if report.owner_died == Some(true) => {
                format!("{red}yes{red:#}, and nobody has declared the data consistent since")
            }
            _ => "no".to_owned(),
        };
        lines.extend([
            ("waiters", report.waiters.map_or("-", yes).to_owned()),
            ("owner died", died),
            ("deaths", known(report.deaths)),
            ("acquisitions", known(report.acquisitions)),
            ("contended", known(report.contended)),
        ]);
        lines
            .extend(report.longest_hold.map(|seconds| ("longest hold", format!("{seconds:.6} s"))));
    }
    if report.state != State::Absent {
        lines.push(("users", report.users()));
    }
    if let (State::Unreadable, Some(file)) = (report.state, &report.file) {
        let text =
            format!("uid {}, gid {}, mode {}, {} bytes", file.uid, file.gid, file.mode, file.size);
        lines.push(("file has", text));
    }
    lines.push(("file", shown(&report.path.to_string_lossy())));
    lines
}
