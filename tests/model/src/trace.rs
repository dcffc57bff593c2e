//! Prints how a property failed, step by step.

use std::fmt;

use shmlock_core::Word;

use crate::moves::{Action, Rules};
use crate::step::moves;
use crate::world::{Link, NOWHERE, Presence, Process, World};

/// A shortest way from the start to a breach.
#[derive(Debug)]
pub struct Trace {
    lines: Vec<String>,
}

impl Trace {
    /// Follows the way again, without reordering the processes.
    pub(crate) fn new(rules: Rules, way: &[World], last: Option<&World>) -> Self {
        let mut world = way[0];
        let mut lines = Vec::new();
        let mut next = Vec::new();
        for after in way[1..].iter().chain(last) {
            next.clear();
            moves(&rules, &world, &mut next);
            let next = next
                .iter()
                .find(|next| next.world.sorted() == *after)
                .expect("the way was found by these moves");
            let who = if next.action == Action::Removed {
                "--".to_owned()
            } else {
                format!("P{}", next.who)
            };
            let does = describe(next.action);
            world = next.world;
            lines.push(format!("{:3}  {who} {does:<48} {}", lines.len() + 1, Show(&world)));
        }
        Self { lines }
    }

    /// Returns the number of steps.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Returns `true` if the start itself was a breach.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

fn describe(action: Action) -> &'static str {
    match action {
        Action::Step(place) => place.does(),
        Action::Spurious => "is woken spuriously",
        Action::Killed => "IS KILLED",
        Action::Stopped => "IS STOPPED",
        Action::Leaked => "LEAKS ITS GUARD and closes",
        Action::ExitHandler => "EXITS, and its handler releases",
        Action::Removed => "A FOREIGN PROCESS REMOVES THE FILE",
        Action::Exchanged => "HAS ITS DESCRIPTOR B EXCHANGED",
    }
}

/// Displays the files, and what each process has.
struct Show<'w>(&'w World);

impl fmt::Display for Show<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, file) in self.0.files.iter().enumerate() {
            let name = match file.link {
                Link::None => continue,
                Link::Named => "",
                Link::Nameless => " nameless",
            };
            let empty = if file.empty { " empty" } else { "" };
            write!(f, "[file {number}{name}{empty}: {}] ", short(file.word.into()))?;
        }
        for (number, process) in self.0.processes.iter().enumerate() {
            show_process(f, number, process)?;
        }
        Ok(())
    }
}

/// Formats a word as PROTOCOL.md does, with the tokens counted from 1.
fn short(word: Word) -> String {
    let owner = word.owner().map_or(0, crate::squeezed::number_of);
    let flag = |set, name| if set { name } else { "" };
    format!("{owner}{}{}", flag(word.has_waiters(), " W"), flag(word.owner_died(), " D"))
}

fn show_process(f: &mut fmt::Formatter<'_>, number: usize, process: &Process) -> fmt::Result {
    if process.a == NOWHERE && process.presence == Presence::None {
        return Ok(());
    }
    write!(f, " P{number}")?;
    match process.presence {
        Presence::None => {}
        Presence::Here => write!(f, " here")?,
        Presence::Alone => write!(f, " ALONE")?,
    }
    for (what, token) in [("token", process.token), ("adopts", process.adopted)] {
        if token != 0 {
            write!(f, " {what} {token}")?;
        }
    }
    f.write_str(if process.holds() { " INSIDE;" } else { ";" })
}
