//! Inspects a lock for `status`, `list`, `watch` and `clean`, as text and as JSON.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use shmlock::{Error, Inspection, LockState, OwnerState};

use crate::args::Place;
use crate::display::escaped;
use crate::hint::explain;
use crate::owner::Owner;
use crate::process::{self, File, Users};

/// The state of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// It has no file: no process has it open.
    Absent,
    /// No process holds it.
    Free,
    /// Its owner is alive, or its liveness is unknown.
    Held,
    /// Its owner is dead; the next owner recovers it.
    Dead,
    /// It could not be inspected, or is no lock.
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

/// The attributes of the lock's file.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Attributes {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// The permission bits, in octal.
    pub(crate) mode: String,
    pub(crate) size: u64,
    /// The last change of these, in seconds of the wall clock.
    pub(crate) changed: i64,
}

impl Attributes {
    fn of(path: &Path) -> Option<Self> {
        let file = fs::symlink_metadata(path).ok()?;
        let mode = format!("{:04o}", file.mode() & 0o7777);
        Some(Self {
            uid: file.uid(),
            gid: file.gid(),
            mode,
            size: file.size(),
            changed: file.ctime(),
        })
    }
}

/// A lock as the program shows it. What is not known is `None`.
///
/// The library's `LockStatus` and `Statistics` have no such form: here the fields of an absent lock
/// are zero, those of an unreadable one unknown, and a dead owner counts before its recovery.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) state: State,
    pub(crate) owner: Option<Owner>,
    /// `true` if a waiter asked to be woken.
    pub(crate) waiters: Option<bool>,
    /// `true` if an owner died, recovered from or not, and the data was not declared consistent
    /// since.
    pub(crate) owner_died: Option<bool>,
    /// Recoveries from dead owners in the life of the file.
    pub(crate) deaths: Option<u32>,
    pub(crate) acquisitions: Option<u64>,
    /// The acquisitions that had to wait or to recover.
    pub(crate) contended: Option<u32>,
    /// The longest hold in seconds, of the handles that measure it.
    pub(crate) longest_hold: Option<f64>,
    pub(crate) in_use: Option<bool>,
    /// The processes that can be seen.
    pub(crate) users: Vec<User>,
    pub(crate) file: Option<Attributes>,
    pub(crate) error: Option<String>,
}

impl Report {
    /// Inspects the lock.
    pub(crate) fn of(name: &str, place: &Place, users: &Users) -> Self {
        Self::of_inspection(name, place, users, place.builder(name).inspect().as_ref())
    }

    /// Makes a report of an inspection.
    pub(crate) fn of_inspection(
        name: &str,
        place: &Place,
        users: &Users,
        inspection: Result<&Option<Inspection>, &Error>,
    ) -> Self {
        let path = place.path(name);
        let file = File::at(&path);
        let error = inspection.err().map(explain);
        let seen = inspection.ok().and_then(Option::as_ref);
        let state = if error.is_some() { State::Unreadable } else { state_of(seen) };
        let (status, statistics) = (seen.map(|seen| seen.status), seen.map(|seen| seen.statistics));
        // An absent lock has no waiters, and so on. Of an unreadable lock these are unknown.
        let none = (state == State::Absent).then_some(0_u32);
        // The process that recovers the lock sets the DIED flag. Until then the state alone tells.
        let died = status.map(|status| state == State::Dead || status.owner_died);
        Self {
            state,
            owner: seen.and_then(|seen| seen.holder.as_ref()).map(|holder| Owner::of(holder, file)),
            waiters: status.map(|status| status.waiters).or(none.map(|_| false)),
            owner_died: died.or(none.map(|_| false)),
            deaths: status.map(|status| status.recoveries).or(none),
            acquisitions: statistics
                .map(|statistics| statistics.acquisitions)
                .or(none.map(u64::from)),
            contended: statistics.map(|statistics| statistics.contended).or(none),
            longest_hold: statistics
                .and_then(|statistics| Some(statistics.longest_hold?.as_secs_f64())),
            in_use: match seen {
                Some(seen) => Some(seen.in_use),
                None => none.map(|_| false).or_else(|| process::has_locks(file?)),
            },
            users: users
                .of(file)
                .into_iter()
                .map(|pid| User { pid, command: process::command(pid) })
                .collect(),
            file: Attributes::of(&path),
            name: name.to_owned(),
            path,
            error,
        }
    }

    /// Returns `true` if the data may be half-written, or the lock cannot be read.
    pub(crate) fn needs_attention(&self) -> bool {
        self.owner_died == Some(true) || self.state == State::Unreadable
    }

    /// Returns the owner's process id, marked if it is no number for kill(1).
    pub(crate) fn pid(&self) -> String {
        self.owner.as_ref().map_or("-".to_owned(), Owner::short)
    }

    pub(crate) fn command(&self) -> String {
        let owner = self.owner.as_ref();
        owner.and_then(|owner| owner.command.as_deref()).map_or("-".to_owned(), escaped)
    }

    pub(crate) fn held_for(&self) -> String {
        self.owner.as_ref().and_then(Owner::held_for).unwrap_or("-".to_owned())
    }

    /// Returns the owner's reason, or the reason why the lock cannot be read.
    pub(crate) fn reason(&self) -> String {
        let owners = || self.owner.as_ref().map(|owner| escaped(owner.description()));
        self.error.as_deref().map(escaped).or_else(owners).unwrap_or_default()
    }

    /// Returns the number of processes that have it open, `?` if they cannot be seen.
    pub(crate) fn number_of_users(&self) -> String {
        match self.users.len() {
            0 if self.in_use != Some(false) => "?".to_owned(),
            number => number.to_string(),
        }
    }

    /// Returns in words which processes have it open.
    pub(crate) fn users(&self) -> String {
        let one = |user: &User| match &user.command {
            Some(command) => format!("{} ({})", user.pid, escaped(command)),
            None => user.pid.to_string(),
        };
        match self.users.as_slice() {
            [] if self.in_use == Some(true) => "a process that cannot be seen from here".to_owned(),
            [] if self.in_use.is_none() => "not known".to_owned(),
            [] => "none".to_owned(),
            [user] => format!("pid {}", one(user)),
            users => format!("pids {}", users.iter().map(one).collect::<Vec<_>>().join(", ")),
        }
    }
}

fn state_of(seen: Option<&Inspection>) -> State {
    match seen.map(|seen| seen.status.state) {
        None => State::Absent,
        Some(LockState::Unlocked) => State::Free,
        Some(LockState::Held(OwnerState::Dead)) => State::Dead,
        Some(_) => State::Held,
    }
}
