//! The owner of a lock as it is shown: what is known of its process, and what is not.
//!
//! A process id in a record may be that of another pid namespace, or of a process that has ended
//! and whose number another one has by now. No output shows such a number so that it could be given
//! to kill(1) by mistake.

use std::time::Duration;

use serde::Serialize;
use shmlock::Holder;

use crate::display::{shown, span};
use crate::process::{self, Evidence, File};

/// The owner, or a dead one.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Owner {
    pub(crate) token: u32,
    /// As its own pid namespace sees it.
    pub(crate) pid: Option<u32>,
    /// Which pid namespace that is: its inode number, lsns(8).
    pub(crate) pid_namespace: Option<u32>,
    /// Whether that is our pid namespace; `None` without /proc.
    pub(crate) pid_is_ours: Option<bool>,
    /// Whether the process that took the lock has ended; `None` if that cannot be seen.
    pub(crate) pid_is_gone: Option<bool>,
    pub(crate) command: Option<String>,
    pub(crate) uuid: Option<String>,
    pub(crate) description: String,
    pub(crate) held_seconds: Option<u64>,
}

impl Owner {
    /// Looks for the owner's process, as a user of the lock's file.
    pub(crate) fn of(holder: &Holder, file: Option<File>) -> Self {
        let ours = holder.pid().filter(|_| holder.pid_is_ours() == Some(true));
        let evidence = ours.map(|pid| process::evidence(pid, file));
        Self {
            token: holder.token(),
            pid: holder.pid(),
            pid_namespace: holder.pid_namespace(),
            pid_is_ours: holder.pid_is_ours(),
            pid_is_gone: match evidence {
                Some(Evidence::Seen) => Some(false),
                Some(Evidence::Ended) => Some(true),
                Some(Evidence::Hidden) | None => None,
            },
            command: ours.filter(|_| evidence == Some(Evidence::Seen)).and_then(process::command),
            uuid: holder.uuid().map(|uuid| uuid.to_string()),
            description: holder.description().to_owned(),
            held_seconds: holder.since().map(|since| since.as_secs()),
        }
    }

    /// The process id in a column: "(7)" has ended, "7?" cannot be seen, "7@4026532177" is of that
    /// pid namespace.
    pub(crate) fn short(&self) -> String {
        let Some(pid) = self.pid else { return "-".to_owned() };
        match (self.pid_is_ours, self.pid_is_gone, self.pid_namespace) {
            (Some(true), Some(false), _) => pid.to_string(),
            (Some(true), Some(true), _) => format!("({pid})"),
            (Some(true), None, _) => format!("{pid}?"),
            (_, _, Some(namespace)) => format!("{pid}@{namespace}"),
            (..) => format!("{pid}@?"),
        }
    }

    /// The process in words.
    pub(crate) fn process(&self) -> String {
        let Some(pid) = self.pid else { return "a process that has not said yet which".to_owned() };
        match (self.pid_is_ours, self.pid_is_gone, self.pid_namespace) {
            (Some(true), Some(false), _) => match &self.command {
                Some(command) => format!("pid {pid} ({})", shown(command)),
                None => format!("pid {pid}"),
            },
            (Some(true), Some(true), _) => format!("pid {pid}, which has ended"),
            (Some(true), None, _) => {
                format!("pid {pid}, if that is still its number, for its files cannot be seen")
            }
            (Some(false), _, Some(namespace)) => {
                format!("pid {pid} of another pid namespace, {namespace}")
            }
            (..) => format!("pid {pid} of an unknown pid namespace"),
        }
    }

    /// All that is known, on one line.
    pub(crate) fn in_words(&self) -> String {
        let mut words = vec![self.process()];
        words.extend(self.uuid.as_ref().map(|uuid| format!("uuid {uuid}")));
        if !self.description.is_empty() {
            words.push(format!("\"{}\"", self.description.escape_debug()));
        }
        words.extend(
            self.held_seconds.map(|held| format!("for {}", span(Duration::from_secs(held)))),
        );
        words.join(", ")
    }
}

/// Names the holder of a lock, for a refusal.
pub(crate) fn held_by(holder: Option<&Holder>, file: Option<File>) -> String {
    match holder {
        Some(holder) => format!("held by {}", Owner::of(holder, file).in_words()),
        None => "it was free or changing hands at that moment".to_owned(),
    }
}

/// A dead owner.
pub(crate) fn dead(holder: Option<&Holder>, file: Option<File>) -> String {
    holder.map_or("its name is lost".to_owned(), |holder| Owner::of(holder, file).in_words())
}
