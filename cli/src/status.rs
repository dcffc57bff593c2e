//! `status`: shows one lock.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use shmlock::Error;

use crate::args::Place;
use crate::display::{escaped, escaped_json, or_dash, yes_or_no};
use crate::exit::{CONFLICT, Failure, fleet_view_statuses};
use crate::fleet;
use crate::process::Users;
use crate::report::{Report, State};

const AFTER: &str = concat!(
    "\
A lock that no process has open has no file: it is \"absent\", which is as good
as free. \"waiters\" stays yes until the next release, even if the waiters have
given up.

For a lock that cannot be read, `status` shows the owner and the mode of its
file and the processes that have it open. The exit status tells the reason.

Exit status:
  0   the lock is in order: free, held, or absent
  1   an owner died holding it, and the data was not declared consistent since
  64, 65, 66, 71  as in `shmlock --help`",
    fleet_view_statuses!()
);

/// Show the state of a lock, its holder, and its use
///
/// Changes nothing, and needs only the right to read the lock's file.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER)]
pub(crate) struct Args {
    /// The lock's name
    name: String,

    /// Write one JSON object
    #[arg(short = 'J', long)]
    json: bool,

    #[command(flatten)]
    place: Place,

    #[command(flatten)]
    fleet: fleet::Access,
}

impl Args {
    pub(crate) fn perform(&self) -> Result<u8, Failure> {
        #[cfg(not(feature = "fleet"))]
        self.fleet.refuse()?;
        #[cfg(feature = "fleet")]
        if let Some(cluster) = self.fleet.cluster()? {
            self.place.refuse_with_fleet()?;
            return fleet::status(&cluster, &self.name, self.json);
        }
        let inspection = match self.place.builder(&self.name).inspect() {
            Err(error @ Error::InvalidName { .. }) => return Err(error.into()),
            inspection => inspection,
        };
        let report =
            Report::of_inspection(&self.name, &self.place, &Users::scan(), inspection.as_ref());
        let mut out = anstream::stdout();
        if self.json {
            let json = serde_json::to_string_pretty(&report).map_err(std::io::Error::from)?;
            writeln!(out, "{}", escaped_json(&json))?;
        } else {
            let (style, bold) = (report.state.style(), Style::new().bold());
            writeln!(
                out,
                "{bold}{}{bold:#}: {style}{}{style:#}",
                escaped(&report.name),
                in_words(report.state)
            )?;
            for (label, text) in lines(&report) {
                writeln!(out, "  {label:<13} {text}")?;
            }
        }
        out.flush()?;
        // A lock that cannot be read is a failure, after its attributes are shown.
        if let Err(error) = inspection {
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
        State::Absent => "absent: no process has it open",
        State::Free => "free",
        State::Held => "held",
        State::Dead => "its owner is dead; the next owner recovers it",
        State::Unreadable => "cannot be read; these are the attributes of its file",
    }
}

fn lines(report: &Report) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(owner) = &report.owner {
        let mut process = owner.process();
        if owner.pid_is_gone == Some(true) && report.state == State::Held {
            process += "; a process that it started still runs, see users";
        }
        lines.push(("owner", process));
        lines.extend(owner.uuid().map(|uuid| ("uuid", uuid)));
        lines.extend(owner.held_for().map(|held| ("for", held)));
        if !owner.description().is_empty() {
            lines.push(("description", escaped(owner.description())));
        }
    }
    if matches!(report.state, State::Free | State::Held | State::Dead) {
        let red = AnsiColor::Red.on_default().bold();
        let died = match report.state {
            State::Dead => format!("{red}yes{red:#}, and no process has recovered the lock yet"),
            _ if report.owner_died == Some(true) => {
                format!("{red}yes{red:#}, and the data was not declared consistent since")
            }
            _ => "no".to_owned(),
        };
        lines.extend([
            ("waiters", report.waiters.map_or("-", yes_or_no).to_owned()),
            ("owner died", died),
            ("deaths", or_dash(report.deaths)),
            ("acquisitions", or_dash(report.acquisitions)),
            ("contended", or_dash(report.contended)),
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
    lines.push(("file", escaped(&report.path.to_string_lossy())));
    lines
}
