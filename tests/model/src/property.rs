//! What must be true: of each step, of each world, and of what is left at the end.

use std::collections::HashSet;
use std::fmt;

use shmlock_core::Word;

use crate::place::Place;
use crate::step::{Rules, moves};
use crate::world::{File, Link, Presence, Process, World};

/// A promise that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Breach {
    /// Two processes are in the section of one name.
    TwoInside,
    /// The word does not name a living owner any more.
    Robbed,
    /// An open handle's file has lost its name: whoever opens the name gets another lock.
    SplitBrain,
    /// An owner died, and the next one is not told.
    Untold,
    /// Somebody is told of a death that was none.
    FalseAlarm,
    /// The file was removed with a crash mark that nobody has seen.
    MarkLost,
    /// All have closed, nobody died, no descriptor was exchanged, and the file is still there.
    LeftBehind,
    /// All are gone, and the file neither is free nor says truly that an owner died.
    Untrue,
    /// A free file was left, and the next who opens and closes leaves it as well.
    NotCleared,
    /// Nobody can do anything, and somebody still waits.
    Deadlock,
    /// Without another death, not everybody can come to its end any more.
    Stuck,
}

impl Breach {
    /// The name of the property: exclusion, holding, truth of the crash mark, tidiness, progress.
    #[must_use]
    pub const fn property(self) -> &'static str {
        match self {
            Self::TwoInside | Self::SplitBrain => "S1",
            Self::Robbed => "S2",
            Self::Untold | Self::FalseAlarm | Self::MarkLost => "S3",
            Self::LeftBehind | Self::Untrue | Self::NotCleared => "S4",
            Self::Deadlock | Self::Stuck => "L",
        }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TwoInside => "two are in the section",
            Self::Robbed => "a living owner was robbed",
            Self::SplitBrain => "an open handle's file has lost its name",
            Self::Untold => "an owner died and the next is not told",
            Self::FalseAlarm => "told of a death that was none",
            Self::MarkLost => "the file was removed with a crash mark on it",
            Self::LeftBehind => "a file is left behind although nobody died",
            Self::Untrue => "the file left behind is neither free nor truly marked",
            Self::NotCleared => "a free file is not cleared by the next",
            Self::Deadlock => "asleep for ever",
            Self::Stuck => "no way to the end",
        })
    }
}

/// What must be true of every world.
pub(crate) fn judge(world: &World) -> Option<Breach> {
    let holders = || world.processes.iter().filter(|process| process.holds());
    if holders().any(|holder| !world.files[usize::from(holder.a)].word.names(holder.token)) {
        return Some(Breach::Robbed);
    }
    if world.removals > 0 {
        // Who removes the file makes two locks of it. Each of them is still one.
        let mut files: Vec<u8> = holders().map(|holder| holder.a).collect();
        files.sort_unstable();
        return files.windows(2).any(|pair| pair[0] == pair[1]).then_some(Breach::TwoInside);
    }
    if holders().count() > 1 {
        return Some(Breach::TwoInside);
    }
    let has_name = |process: &Process| world.files[usize::from(process.a)].link == Link::Named;
    let open = || world.processes.iter().filter(|process| process.is_open());
    open().any(|process| !has_name(process)).then_some(Breach::SplitBrain)
}

/// Whether others may have to wait for a stopped process for as long as it is stopped: it holds the
/// lock, or the byte of the dead owner in the word, or has drawn that token and not yet said so, or
/// is just about to remove the file. Who has deadlines need not wait even then.
pub(crate) fn may_be_waited_for(rules: &Rules, world: &World) -> bool {
    let Some(frozen) = world.frozen() else { return false };
    if rules.bounds.impatient {
        return false;
    }
    let named =
        |token| world.files.get(usize::from(frozen.a)).is_some_and(|file| file.word.names(token));
    // The second is a handle that is closed with its guard leaked.
    let unmoved = matches!(frozen.at, Place::DeclareStale | Place::Unmap) && named(frozen.token);
    frozen.holds() || named(frozen.adopted) || unmoved || frozen.presence == Presence::Alone
}

/// The files that were left at the end of some run; few, so each is looked at once.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    known: HashSet<File>,
}

impl Leftovers {
    /// What must be true when all are gone or stopped.
    pub(crate) fn judge(&mut self, rules: &Rules, world: &World) -> Option<Breach> {
        if world.frozen().is_some() || world.removals > 0 {
            return None;
        }
        let file = world.files[usize::from(world.named()?)];
        // A closer whose descriptor is exchanged in that instant leaves a free file, as one that
        // dies.
        if world.deaths == 0 && world.exchanges == 0 {
            return Some(Breach::LeftBehind);
        }
        let left = Word::from(file.word);
        let is_true = if file.torn {
            left.owner_died() || !left.is_free()
        } else {
            file.empty || left.is_free_and_consistent()
        };
        if !is_true {
            return Some(Breach::Untrue);
        }
        if file.torn || !self.known.insert(file) {
            return None;
        }
        (!is_cleared(rules, world)).then_some(Breach::NotCleared)
    }
}

/// Whether one more process, alone, always takes the free file away.
fn is_cleared(rules: &Rules, world: &World) -> bool {
    let mut rules = *rules;
    (rules.bounds.deaths, rules.bounds.frozen, rules.bounds.exchanges) = (0, 0, 0);
    let mut start = *world;
    start.processes[0] = Process::new(1);
    let (mut open, mut after) = (vec![start], Vec::new());
    while let Some(world) = open.pop() {
        if world.is_final() && world.named().is_some() {
            return false;
        }
        moves(&rules, &world, &mut after);
        open.extend(after.drain(..).map(|next| next.world));
    }
    true
}
