//! Adds the faults: moves of a world that are not steps of the protocol.

use shmlock_core::Word;

use crate::bounds::Victim;
use crate::flaw::Flaw;
use crate::moves::{Action, Move, Rules};
use crate::place::Place;
use crate::squeezed::token;
use crate::world::{Leads, NOWHERE, Note, Presence, Process, World};

/// Adds the faults that may happen to this process now.
pub(crate) fn befall(rules: &Rules, world: &World, who: usize, moves: &mut Vec<Move>) {
    let mut push = |action, mut world: World| {
        world.forget_unused();
        moves.push(Move { who, action, world, breach: None });
    };
    let inside = world.processes[who].at == Place::Inside;
    if world.deaths < rules.bounds.deaths && (inside || rules.bounds.victim == Victim::Any) {
        push(Action::Killed, killed(world, who));
    }
    if world.deaths < rules.bounds.deaths && inside {
        push(Action::Leaked, leaked(rules, world, who));
        push(Action::ExitHandler, exiting(world, who));
    }
    if world.exchanges < rules.bounds.exchanges && world.processes[who].b != NOWHERE {
        for leads in targets(world, who) {
            push(Action::Exchanged, exchanged(rules, world, who, leads));
        }
    }
    if rules.bounds.frozen > 0 && world.frozen().is_none() {
        let mut world = *world;
        world.processes[who].notes.set(Note::Frozen);
        push(Action::Stopped, world);
    }
}

/// Returns what descriptor B may refer to, once other code has replaced it.
fn targets(world: &World, who: usize) -> impl Iterator<Item = Leads> {
    let (file, processes) = (world.processes[who].b, world.processes);
    let identities = move |index: usize| {
        let other = &processes[index];
        (index != who && other.a == file && other.token != 0)
            .then_some(Leads::Identity(other.token))
    };
    std::iter::once(Leads::Elsewhere).chain((0..processes.len()).filter_map(identities))
}

/// Replaces descriptor B. The description's locks stay, if it is mapped; in the instant after it
/// has locked presence it is not mapped yet.
fn exchanged(rules: &Rules, world: &World, who: usize, leads: Leads) -> World {
    let mut world = *world;
    world.exchanges += 1;
    let process = &mut world.processes[who];
    process.leads = leads;
    let is_pinned = process.at != Place::JudgeWord && !rules.flaws.has(Flaw::NoPin);
    if !is_pinned {
        process.adopted = 0;
        if process.presence == Presence::Alone {
            process.presence = Presence::None;
        }
    }
    world
}

/// Kills the process: the kernel closes everything.
fn killed(world: &World, who: usize) -> World {
    let mut world = *world;
    world.deaths += 1;
    world.drop_identity(who);
    world.processes[who] = Process::GONE;
    world
}

/// Leaks a guard and closes the handle: the word goes on naming it.
fn leaked(rules: &Rules, world: &World, who: usize) -> World {
    let mut world = *world;
    world.deaths += 1;
    let process = &mut world.processes[who];
    process.left -= 1;
    process.notes.clear(Note::Told);
    process.at = rules.first_of_closing();
    world
}

/// Ends the process, and its exit handler releases what it holds.
fn exiting(world: &World, who: usize) -> World {
    let mut world = *world;
    world.deaths += 1;
    let process = &mut world.processes[who];
    process.notes.set(Note::Exiting);
    process.notes.clear(Note::Told);
    process.seen = Word::held_by(token(process.token)).into();
    process.at = Place::Abandon;
    world
}

/// Adds the removal of the file by a process outside the protocol.
pub(crate) fn remove(rules: &Rules, world: &World, moves: &mut Vec<Move>) {
    if world.removals < rules.bounds.removals && world.named().is_some() && !world.is_final() {
        let mut world = *world;
        world.removals += 1;
        world.unlink();
        world.forget_unused();
        moves.push(Move { who: 0, action: Action::Removed, world, breach: None });
    }
}
