//! Checks the properties of each world, and of the state at the end.

use std::collections::HashSet;

use shmlock_core::Word;

use crate::breach::Breach;
use crate::moves::Rules;
use crate::place::Place;
use crate::step::moves;
use crate::world::{File, Link, Presence, Process, World};

/// Checks what must be true of every world.
pub(crate) fn judge(world: &World) -> Option<Breach> {
    let holders = || world.processes.iter().filter(|process| process.holds());
    if holders().any(|holder| !world.files[usize::from(holder.a)].word.names(holder.token)) {
        return Some(Breach::Robbed);
    }
    if world.removals > 0 {
        // A removal makes two locks of the name. Each of them is still one.
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

/// Returns `true` if others may have to wait for a stopped process while it is stopped: it holds
/// the lock, or the byte of the dead owner in the word; or has drawn that token and not yet
/// declared it stale; or is about to remove the file. A process with deadlines need not wait even
/// then.
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

/// The files that were left at the end of a run; few, so each is checked once.
#[derive(Debug, Default)]
pub(crate) struct Leftovers {
    known: HashSet<File>,
}

impl Leftovers {
    /// Checks what must be true when all processes have ended or are stopped.
    pub(crate) fn judge(&mut self, rules: &Rules, world: &World) -> Option<Breach> {
        if world.frozen().is_some() || world.removals > 0 {
            return None;
        }
        let file = world.files[usize::from(world.named()?)];
        // A closer whose descriptor is exchanged in that instant leaves a free file, as one that
        // dies does.
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

/// Returns `true` if one more process, alone, always removes the free file.
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
