//! What happens to processes and files against their will: one more way in which a world can go on.

use shmlock_core::Word;

use crate::bounds::Victim;
use crate::flaw::Flaw;
use crate::place::Place;
use crate::squeezed::token;
use crate::step::{Action, Move, Rules, close};
use crate::world::{Leads, NOWHERE, Note, Presence, Process, World};

/// What may befall this process now.
pub(crate) fn befall(rules: &Rules, world: &World, who: usize, moves: &mut Vec<Move>) {
    let mut push = |action, mut world: World| {
        world.forget_unused();
        moves.push(Move { who, action, world, breach: None });
    };
    let inside = world.processes[who].at == Place::Inside;
    if world.deaths < rules.bounds.deaths && (inside || rules.bounds.victim == Victim::Anybody) {
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

/// What the number of descriptor B may lead to, once other code has closed it.
fn targets(world: &World, who: usize) -> impl Iterator<Item = Leads> {
    let (file, processes) = (world.processes[who].b, world.processes);
    let identities = move |index: usize| {
        let other = &processes[index];
        (index != who && other.a == file && other.token != 0)
            .then_some(Leads::Identity(other.token))
    };
    std::iter::once(Leads::Elsewhere).chain((0..processes.len()).filter_map(identities))
}

/// The number leads elsewhere. What the description has locked stays, if it is mapped: not yet in
/// the instant after it has locked presence.
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

/// SIGKILL: the kernel closes everything.
fn killed(world: &World, who: usize) -> World {
    let mut world = *world;
    world.deaths += 1;
    world.drop_identity(who);
    world.processes[who] = Process::GONE;
    world
}

/// A guard is leaked and the handle closed: the word goes on naming it.
fn leaked(rules: &Rules, world: &World, who: usize) -> World {
    let mut world = *world;
    world.deaths += 1;
    let process = &mut world.processes[who];
    process.left -= 1;
    process.notes.clear(Note::Told);
    process.at = close(rules);
    world
}

/// The process ends, and an exit handler gives back what it holds.
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

/// Somebody outside of the protocol removes the file.
pub(crate) fn remove(rules: &Rules, world: &World, moves: &mut Vec<Move>) {
    if world.removals < rules.bounds.removals && world.named().is_some() && !world.is_final() {
        let mut world = *world;
        world.removals += 1;
        world.unlink();
        world.forget_unused();
        moves.push(Move { who: 0, action: Action::Removed, world, breach: None });
    }
}
