//! A lock as it is shown: by `status`, `list`, `watch` and `clean`, to people and as JSON.

use std::path::PathBuf;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use shmlock::{Holder, Inspection, Life, Occupancy};

use crate::args::Where;
use crate::exit::said;
use crate::process::{self, Users};
use crate::text::{shown, span};

/// What is the matter with a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// Nobody has it open, and nobody has left anything.
    Absent,
    /// Nobody holds it.
    Free,
    /// Its owner lives, as far as can be known.
    Held,
    /// Its owner is dead; the next comer takes it over.
    Dead,
    /// It could not be looked at, or is no lock.
    Unreadable,
}

impl State {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Free => "free",
            Self::Held => "held",
            Self::Dead => "dead",
            Self::Unreadable => "unreadable",
        }
    }

    pub(crate) fn style(self) -> Style {
        match self {
            Self::Absent => Style::new().dimmed(),
            Self::Free => AnsiColor::Green.on_default(),
            Self::Held => AnsiColor::Yellow.on_default(),
            Self::Dead | Self::Unreadable => AnsiColor::Red.on_default().bold(),
        }
    }
}

/// A process that has the lock open.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct User {
    pub(crate) pid: u32,
    pub(crate) command: Option<String>,
}

/// Who holds it, or died holding it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Owner {
    pub(crate) token: u32,
    /// As its own pid namespace sees it.
    pub(crate) pid: Option<u32>,
    /// Whether that is our pid namespace; unknown without /proc.
    pub(crate) pid_is_ours: Option<bool>,
    /// Whether the process that took the lock has ended, as far as can be seen, while its lifeline is held by others.
    pub(crate) pid_is_gone: bool,
    pub(crate) command: Option<String>,
    pub(crate) uuid: Option<String>,
    pub(crate) description: String,
    pub(crate) held_seconds: Option<u64>,
}

/// One lock.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) state: State,
    pub(crate) owner: Option<Owner>,
    /// Whether somebody asked to be woken.
    pub(crate) waiters: bool,
    /// Whether an owner died, and nobody has declared the data consistent since; also one who has not been replaced yet.
    pub(crate) owner_died: bool,
    /// Dead owners replaced in the life of the file.
    pub(crate) deaths: u32,
    pub(crate) acquisitions: u64,
    /// How many of these had to wait or to recover.
    pub(crate) contended: u32,
    /// The longest hold, in seconds, of those whose handles measure that.
    pub(crate) longest_hold: Option<f64>,
    pub(crate) in_use: bool,
    /// Those that can be seen.
    pub(crate) users: Vec<User>,
    pub(crate) error: Option<String>,
}

impl Report {
    /// Looks at the lock.
    pub(crate) fn of(name: &str, place: &Where, users: &Users) -> Self {
        let path = place.path(name);
        let seen = place.builder(name).inspect();
        let pids = users.of(&path);
        let error = seen.as_ref().err().map(said);
        let seen = seen.unwrap_or_default();
        let health = seen.as_ref().map(|seen| seen.health);
        let state = if error.is_some() { State::Unreadable } else { state_of(seen.as_ref()) };
        Self {
            state,
            owner: seen.as_ref().and_then(|seen| seen.holder.as_ref()).map(|holder| owner(holder, &pids)),
            waiters: health.is_some_and(|health| health.waiters),
            // The mark in the word is written by whoever replaces the dead; until then its death is seen by the state alone.
            owner_died: state == State::Dead || health.is_some_and(|health| health.owner_died),
            deaths: health.map_or(0, |health| health.recoveries),
            acquisitions: seen.as_ref().map_or(0, |seen| seen.statistics.acquisitions),
            contended: seen.as_ref().map_or(0, |seen| seen.statistics.contended),
            longest_hold: seen.as_ref().and_then(|seen| Some(seen.statistics.longest_hold?.as_secs_f64())),
            in_use: seen.is_some_and(|seen| seen.in_use),
            users: pids.into_iter().map(|pid| User { pid, command: process::command(pid) }).collect(),
            name: name.to_owned(),
            path,
            error,
        }
    }

    /// Whether somebody should look at it: what it protects may be half-written, or it cannot be read.
    pub(crate) fn needs_attention(&self) -> bool {
        self.owner_died || self.state == State::Unreadable
    }

    pub(crate) fn pid(&self) -> String {
        self.owner.as_ref().and_then(|owner| owner.pid).map_or("-".to_owned(), |pid| pid.to_string())
    }

    pub(crate) fn command(&self) -> String {
        let owner = self.owner.as_ref();
        owner.and_then(|owner| owner.command.as_deref()).map_or("-".to_owned(), shown)
    }

    pub(crate) fn held_for(&self) -> String {
        let seconds = self.owner.as_ref().and_then(|owner| owner.held_seconds);
        seconds.map_or("-".to_owned(), |seconds| span(Duration::from_secs(seconds)))
    }

    /// Why, in the owner's words, or why it cannot be read.
    pub(crate) fn why(&self) -> String {
        let owners = || self.owner.as_ref().map(|owner| shown(&owner.description));
        self.error.as_deref().map(shown).or_else(owners).unwrap_or_default()
    }

    /// Who has it open, in words.
    pub(crate) fn users(&self) -> String {
        let one = |user: &User| match &user.command {
            Some(command) => format!("{} ({})", user.pid, shown(command)),
            None => user.pid.to_string(),
        };
        match self.users.as_slice() {
            [] if self.in_use => "somebody whom we cannot see".to_owned(),
            [] => "nobody".to_owned(),
            [user] => format!("pid {}", one(user)),
            users => format!("pids {}", users.iter().map(one).collect::<Vec<_>>().join(", ")),
        }
    }
}

fn state_of(seen: Option<&Inspection>) -> State {
    match seen.map(|seen| seen.health.occupancy) {
        None => State::Absent,
        Some(Occupancy::Free) => State::Free,
        Some(Occupancy::Theirs(Life::Dead)) => State::Dead,
        Some(_) => State::Held,
    }
}

fn owner(holder: &Holder, users: &[u32]) -> Owner {
    let ours = holder.pid().filter(|_| holder.pid_is_ours() == Some(true));
    // Each handle keeps a descriptor: who has none of this file is another process by now, or none.
    let gone = ours
        .is_some_and(|pid| !users.contains(&pid) && (process::command(pid).is_none() || process::is_transparent(pid)));
    Owner {
        token: holder.token(),
        pid: holder.pid(),
        pid_is_ours: holder.pid_is_ours(),
        pid_is_gone: gone,
        command: ours.filter(|_| !gone).and_then(process::command),
        uuid: holder.uuid().map(|uuid| uuid.to_string()),
        description: holder.description().to_owned(),
        held_seconds: holder.since().map(|since| since.as_secs()),
    }
}
