//! Named exit events as they are shown: by `list` and `clean`, to people and as JSON.

use std::path::PathBuf;

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use shmlock::{CleanOutcome, ExitEvent};

use crate::args::Where;
use crate::display::shown;
use crate::exit::Failure;
use crate::hint::explain;
use crate::process::{self, File, Users};
use crate::report::User;

/// What is the matter with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// Waits go on.
    Clear,
    /// Waits end.
    Set,
    /// No process has it open: dead users left the file. The next opener finds it clear.
    Unused,
    /// It could not be looked at, or is no event.
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

/// One event.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) state: State,
    /// Those that can be seen.
    pub(crate) users: Vec<User>,
    pub(crate) error: Option<String>,
}

impl Report {
    /// Looks at the event; `None` if there is none.
    fn of(name: &str, place: &Where, users: &Users) -> Option<Self> {
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

    /// Looks at all events.
    pub(crate) fn of_all(place: &Where, users: &Users) -> Result<Vec<Self>, Failure> {
        let names = shmlock::exit_events_in(&place.directory)?;
        Ok(names.iter().filter_map(|name| Self::of(name, place, users)).collect())
    }

    /// What it is, or why it cannot be read.
    pub(crate) fn why(&self) -> String {
        self.error.as_deref().map_or_else(|| "exit event".to_owned(), shown)
    }

    /// How many processes have it open, as far as they can be seen.
    pub(crate) fn number_of_users(&self) -> String {
        match (self.users.len(), self.state) {
            (0, State::Unused) => "0".to_owned(),
            (0, _) => "?".to_owned(),
            (number, _) => number.to_string(),
        }
    }
}

/// Which processes have the event open, in words.
pub(crate) fn users_of(name: &str, place: &Where, users: &Users) -> String {
    let seen = Report::of(name, place, users).map_or(Vec::new(), |report| report.users);
    let pids: Vec<_> = seen.iter().map(|user| user.pid.to_string()).collect();
    match pids.as_slice() {
        [] => "a process that cannot be seen from here".to_owned(),
        [pid] => format!("pid {pid}"),
        pids => format!("pids {}", pids.join(", ")),
    }
}

/// Removes the event's file if no process has it open; or, dry, says what that would come to.
pub(crate) fn clean(name: &str, place: &Where, dry: bool) -> shmlock::Result<CleanOutcome> {
    if !dry {
        return ExitEvent::clean_in(name, &place.directory);
    }
    Ok(match ExitEvent::inspect_in(name, &place.directory)? {
        None => CleanOutcome::Absent,
        Some(seen) if seen.in_use => CleanOutcome::InUse,
        Some(_) => CleanOutcome::Removed,
    })
}
