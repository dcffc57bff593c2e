//! A lock as it is shown: by `status`, `list`, `watch` and `clean`, to people and as JSON.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use shmlock::{Error, Inspection, LockState, OwnerState};

use crate::args::Where;
use crate::display::shown;
use crate::hint::explain;
use crate::owner::Owner;
use crate::process::{self, File, Users};

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
    /// Its owner is dead; the next owner recovers it.
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

/// What is seen of the lock's file without reading it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Surface {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// The permission bits, in octal.
    pub(crate) mode: String,
    pub(crate) size: u64,
    /// When the file was made or its owner or mode changed, in seconds of the wall clock: the last
    /// of these.
    pub(crate) changed: i64,
}

impl Surface {
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

/// One lock. What is not known is `None`: no look is no evidence.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) state: State,
    pub(crate) owner: Option<Owner>,
    /// Whether somebody asked to be woken.
    pub(crate) waiters: Option<bool>,
    /// Whether an owner died, and nobody has declared the data consistent since; also one who has
    /// not been replaced yet.
    pub(crate) owner_died: Option<bool>,
    /// Dead owners replaced in the life of the file.
    pub(crate) deaths: Option<u32>,
    pub(crate) acquisitions: Option<u64>,
    /// How many of these had to wait or to recover.
    pub(crate) contended: Option<u32>,
    /// The longest hold, in seconds, of those whose handles measure that.
    pub(crate) longest_hold: Option<f64>,
    pub(crate) in_use: Option<bool>,
    /// Those that can be seen.
    pub(crate) users: Vec<User>,
    pub(crate) file: Option<Surface>,
    pub(crate) error: Option<String>,
}

impl Report {
    /// Looks at the lock.
    pub(crate) fn of(name: &str, place: &Where, users: &Users) -> Self {
        Self::of_look(name, place, users, place.builder(name).inspect().as_ref())
    }

    /// Makes a report of a look at the lock.
    pub(crate) fn of_look(
        name: &str,
        place: &Where,
        users: &Users,
        look: Result<&Option<Inspection>, &Error>,
    ) -> Self {
        let path = place.path(name);
        let file = File::at(&path);
        let error = look.err().map(explain);
        let seen = look.ok().and_then(Option::as_ref);
        let state = if error.is_some() { State::Unreadable } else { state_of(seen) };
        let (health, statistics) = (seen.map(|seen| seen.health), seen.map(|seen| seen.statistics));
        // A lock that is not there has no waiters, and so on; of one that cannot be read that is
        // not known.
        let none = (state == State::Absent).then_some(0_u32);
        // The flag in the word is set by the process that recovers the lock; until then the state
        // alone tells of the death.
        let died = health.map(|health| state == State::Dead || health.owner_died);
        Self {
            state,
            owner: seen.and_then(|seen| seen.holder.as_ref()).map(|holder| Owner::of(holder, file)),
            waiters: health.map(|health| health.waiters).or(none.map(|_| false)),
            owner_died: died.or(none.map(|_| false)),
            deaths: health.map(|health| health.recoveries).or(none),
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
            file: Surface::of(&path),
            name: name.to_owned(),
            path,
            error,
        }
    }

    /// Returns `true` if what it protects may be half-written, or it cannot be read.
    pub(crate) fn needs_attention(&self) -> bool {
        self.owner_died == Some(true) || self.state == State::Unreadable
    }

    /// The owner's process id, marked if it is no number for kill(1).
    pub(crate) fn pid(&self) -> String {
        self.owner.as_ref().map_or("-".to_owned(), Owner::short)
    }

    pub(crate) fn command(&self) -> String {
        let owner = self.owner.as_ref();
        owner.and_then(|owner| owner.command.as_deref()).map_or("-".to_owned(), shown)
    }

    pub(crate) fn held_for(&self) -> String {
        self.owner.as_ref().and_then(Owner::held_for).unwrap_or("-".to_owned())
    }

    /// Why, in the owner's words, or why it cannot be read.
    pub(crate) fn why(&self) -> String {
        let owners = || self.owner.as_ref().map(|owner| shown(owner.description()));
        self.error.as_deref().map(shown).or_else(owners).unwrap_or_default()
    }

    /// How many processes have it open, as far as they can be seen.
    pub(crate) fn number_of_users(&self) -> String {
        match self.users.len() {
            0 if self.in_use != Some(false) => "?".to_owned(),
            number => number.to_string(),
        }
    }

    /// Which processes have it open, in words.
    pub(crate) fn users(&self) -> String {
        let one = |user: &User| match &user.command {
            Some(command) => format!("{} ({})", user.pid, shown(command)),
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
    match seen.map(|seen| seen.health.occupancy) {
        None => State::Absent,
        Some(LockState::Unlocked) => State::Free,
        Some(LockState::Held(OwnerState::Dead)) => State::Dead,
        Some(_) => State::Held,
    }
}
