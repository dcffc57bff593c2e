//! `status`: one lock, all that can be seen of it.

use std::io::Write;

use anstyle::{AnsiColor, Style};

use crate::args::Where;
use crate::exit::{CONFLICT, Failure};
use crate::process::Users;
use crate::report::{Report, State};
use crate::text::{quiet_json, shown, span, yes};

const AFTER: &str = "\
A lock that nobody has open has no file: it is \"absent\", as good as free.
\"waiters\" is yes until the lock is given back, though whoever waited may have
given up.

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
        let _ = self.place.builder(&self.name).inspect()?; // what is wrong is this verb's failure, not its answer
        let report = Report::of(&self.name, &self.place, &Users::look());
        let mut out = anstream::stdout();
        if self.json {
            let json = serde_json::to_string_pretty(&report).map_err(std::io::Error::from)?;
            writeln!(out, "{}", quiet_json(&json))?;
        } else {
            let (style, bold) = (report.state.style(), Style::new().bold());
            writeln!(out, "{bold}{}{bold:#}: {style}{}{style:#}", shown(&report.name), in_words(report.state))?;
            for (label, text) in lines(&report) {
                writeln!(out, "  {label:<13} {text}")?;
            }
        }
        Ok(if report.needs_attention() { CONFLICT } else { 0 })
    }
}

fn in_words(state: State) -> &'static str {
    match state {
        State::Absent => "absent: nobody has it open, so it is as good as free",
        State::Free => "free",
        State::Held => "held",
        State::Dead => "its owner is dead; the next comer takes it over",
        State::Unreadable => "cannot be read",
    }
}

fn lines(report: &Report) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(owner) = &report.owner {
        let mut who = owner.pid.map_or("not known yet".to_owned(), |pid| format!("pid {pid}"));
        if let Some(command) = &owner.command {
            who.extend([" (", &shown(command), ")"]);
        }
        if owner.pid_is_ours == Some(false) {
            who += ", in another pid namespace";
        }
        if owner.pid_is_gone && report.state == State::Held {
            who += ", which has ended; its program goes on, see users";
        }
        lines.push(("owner", who));
        lines.extend(owner.uuid.clone().map(|uuid| ("uuid", uuid)));
        lines.extend(owner.held_seconds.map(|held| ("for", span(std::time::Duration::from_secs(held)))));
        if !owner.description.is_empty() {
            lines.push(("description", shown(&owner.description)));
        }
    }
    if report.error.is_some() {
        lines.push(("error", report.why()));
    }
    if matches!(report.state, State::Free | State::Held | State::Dead) {
        let red = AnsiColor::Red.on_default().bold();
        let died = match report.state {
            State::Dead => format!("{red}yes{red:#}, and nobody has taken the lock over since"),
            _ if report.owner_died => format!("{red}yes{red:#}, and nobody has declared the data consistent since"),
            _ => "no".to_owned(),
        };
        lines.extend([
            ("waiters", yes(report.waiters).to_owned()),
            ("owner died", died),
            ("deaths", report.deaths.to_string()),
            ("acquisitions", report.acquisitions.to_string()),
            ("contended", report.contended.to_string()),
        ]);
        lines.extend(report.longest_hold.map(|seconds| ("longest hold", format!("{seconds:.6} s"))));
        lines.push(("users", report.users()));
    }
    lines.push(("file", shown(&report.path.to_string_lossy())));
    lines
}
