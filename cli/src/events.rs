//! Inspects named exit events for `list` and `clean`.

use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use shmlock::{CleanOutcome, ExitEvent};

use crate::args::Place;
use crate::display::escaped;
use crate::exit::Failure;
use crate::hint::explain;
use crate::process::{self, File, Users};
use crate::report::User;

/// The state of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// The event ends no wait.
    Clear,
    /// The event ends waits.
    Set,
    /// No process has it open: dead users left the file. The next opener finds the event clear.
    Unused,
    /// It could not be inspected, or is no event.
    Unreadable,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Clear => "clear",
            Self::Set => "set",
            Self::Unused => "unused",
            Self::Unreadable => "unreadable",
        }
    }

    pub(crate) fn style(self) -> Style {
        match self {
            Self::Clear => AnsiColor::Green.on_default(),
            Self::Set => AnsiColor::Yellow.on_default(),
            Self::Unused => Style::new().dimmed(),
            Self::Unreadable => AnsiColor::Red.on_default().bold(),
        }
    }
}

/// An event and its users.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) state: State,
    /// The users that can be seen.
    pub(crate) users: Vec<User>,
    pub(crate) error: Option<String>,
}

impl Report {
    /// Inspects the event; `None` if there is none.
    fn of(name: &str, place: &Place, users: &Users) -> Option<Self> {
        let path = place.directory.join(format!("{name}.shmlock-event"));
        let (state, error) = match ExitEvent::inspect_in(name, &place.directory) {
            Ok(None) => return None,
            Ok(Some(seen)) => match (seen.in_use, seen.is_set) {
                (false, _) => (State::Unused, None),
                (true, true) => (State::Set, None),
                (true, false) => (State::Clear, None),
            },
            Err(error) => (State::Unreadable, Some(explain(&error))),
        };
        let users = users.of(File::at(&path)).into_iter();
        let users = users.map(|pid| User { pid, command: process::command(pid) }).collect();
        Some(Self { name: name.to_owned(), path, state, users, error })
    }

    /// Inspects all events.
    pub(crate) fn of_all(place: &Place, users: &Users) -> Result<Vec<Self>, Failure> {
        let names = shmlock::exit_events_in(&place.directory)?;
        Ok(names.iter().filter_map(|name| Self::of(name, place, users)).collect())
    }

    /// Returns the text of the column DESCRIPTION, or the reason why the event cannot be read.
    pub(crate) fn reason(&self) -> String {
        self.error.as_deref().map_or_else(|| "exit event".to_owned(), escaped)
    }

    /// Returns the number of processes that have it open, `?` if they cannot be seen.
    pub(crate) fn number_of_users(&self) -> String {
        match (self.users.len(), self.state) {
            (0, State::Unused) => "0".to_owned(),
            (0, _) => "?".to_owned(),
            (number, _) => number.to_string(),
        }
    }
}

/// Returns in words which processes have the event open.
pub(crate) fn users_of(name: &str, place: &Place, users: &Users) -> String {
    let seen = Report::of(name, place, users).map_or(Vec::new(), |report| report.users);
    let pids: Vec<_> = seen.iter().map(|user| user.pid.to_string()).collect();
    match pids.as_slice() {
        [] => "a process that cannot be seen from here".to_owned(),
        [pid] => format!("pid {pid}"),
        pids => format!("pids {}", pids.join(", ")),
    }
}

/// Removes the event's file if no process has it open; if `dry`, only predicts the outcome.
pub(crate) fn clean(name: &str, place: &Place, dry: bool) -> shmlock::Result<CleanOutcome> {
    if !dry {
        return ExitEvent::clean_in(name, &place.directory);
    }
    Ok(match ExitEvent::inspect_in(name, &place.directory)? {
        None => CleanOutcome::Absent,
        Some(seen) if seen.in_use => CleanOutcome::InUse,
        Some(_) => CleanOutcome::Removed,
    })
}
