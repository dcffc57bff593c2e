//! Describes the owner of a lock and its process.
//!
//! A process id in a record may be of another pid namespace, or of a process that has ended and
//! whose number is in use again. No output shows such a number in a form that kill(1) would accept.

use serde::Serialize;
use shmlock::Holder;

use crate::display::{escaped, span};
use crate::process::{self, Evidence, File};

/// An owner, alive or dead: its record, and the facts about its process that this process sees.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Owner {
    #[serde(flatten)]
    holder: Holder,
    /// Whether the process that acquired the lock has ended; `None` if that cannot be seen.
    pub(crate) pid_is_gone: Option<bool>,
    pub(crate) command: Option<String>,
}

impl Owner {
    /// Looks for the owner's process, as a user of the lock's file.
    pub(crate) fn of(holder: &Holder, file: Option<File>) -> Self {
        let ours = holder.pid().filter(|_| holder.pid_is_ours() == Some(true));
        let evidence = ours.map(|pid| process::evidence(pid, file));
        Self {
            pid_is_gone: match evidence {
                Some(Evidence::Seen) => Some(false),
                Some(Evidence::Ended) => Some(true),
                Some(Evidence::Hidden) | None => None,
            },
            command: ours.filter(|_| evidence == Some(Evidence::Seen)).and_then(process::command),
            holder: holder.clone(),
        }
    }

    pub(crate) fn uuid(&self) -> Option<String> {
        self.holder.uuid().map(|uuid| uuid.to_string())
    }

    /// Returns the owner's words about the hold, as they are: not escaped.
    pub(crate) fn description(&self) -> &str {
        self.holder.description()
    }

    pub(crate) fn held_for(&self) -> Option<String> {
        self.holder.since().map(span)
    }

    /// Returns the process id for a column: "(7)" has ended, "7?" cannot be seen, "7@4026532177" is
    /// of that pid namespace.
    pub(crate) fn short(&self) -> String {
        let Some(pid) = self.holder.pid() else { return "-".to_owned() };
        match self.whose_number() {
            (Some(true), Some(false), _) => pid.to_string(),
            (Some(true), Some(true), _) => format!("({pid})"),
            (Some(true), None, _) => format!("{pid}?"),
            (_, _, Some(namespace)) => format!("{pid}@{namespace}"),
            (..) => format!("{pid}@?"),
        }
    }

    /// Returns the process in words.
    pub(crate) fn process(&self) -> String {
        let Some(pid) = self.holder.pid() else {
            return "a process that has not written its record yet".to_owned();
        };
        match self.whose_number() {
            (Some(true), Some(false), _) => match &self.command {
                Some(command) => format!("pid {pid} ({})", escaped(command)),
                None => format!("pid {pid}"),
            },
            (Some(true), Some(true), _) => format!("pid {pid}, which has ended"),
            (Some(true), None, _) => {
                format!("pid {pid}, unless the number is in use again: its files cannot be seen")
            }
            (Some(false), _, Some(namespace)) => {
                format!("pid {pid} of another pid namespace, {namespace}")
            }
            (..) => format!("pid {pid} of an unknown pid namespace"),
        }
    }

    /// Whether the process id is of our pid namespace, whether its process has ended, and its pid
    /// namespace.
    fn whose_number(&self) -> (Option<bool>, Option<bool>, Option<u32>) {
        (self.holder.pid_is_ours(), self.pid_is_gone, self.holder.pid_namespace())
    }

    /// Returns all that is known, on one line.
    pub(crate) fn in_words(&self) -> String {
        let mut words = vec![self.process()];
        words.extend(self.uuid().map(|uuid| format!("uuid {uuid}")));
        if !self.description().is_empty() {
            words.push(format!("\"{}\"", self.description().escape_debug()));
        }
        words.extend(self.held_for().map(|held| format!("for {held}")));
        words.join(", ")
    }
}

/// Names the holder of a lock, for a failure.
pub(crate) fn held_by(holder: Option<&Holder>, file: Option<File>) -> String {
    match holder {
        Some(holder) => format!("held by {}", Owner::of(holder, file).in_words()),
        None => "it was free or changing hands at that moment".to_owned(),
    }
}

/// Names a dead owner.
pub(crate) fn dead(holder: Option<&Holder>, file: Option<File>) -> String {
    holder.map_or("its record is lost".to_owned(), |holder| Owner::of(holder, file).in_words())
}
