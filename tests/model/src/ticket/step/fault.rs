//! Adds the faults, and what the supervisor does.

use shmlock_core::ticket::burial_of;

use super::{Move, What, number_of};
use crate::ticket::flaw::Flaw;
use crate::ticket::world::{Place, Rules, Supervisor, World, small};

/// Adds the deaths of this party.
pub(super) fn die(rules: &Rules, world: &World, who: usize, moves: &mut Vec<Move>) {
    let party = &world.parties[who];
    let is_alive = !party.is_dead() && party.at != Place::Orphan;
    if !is_alive || !rules.is_mortal(who) || world.deaths == rules.bounds.deaths {
        return;
    }
    let mut dead = *world;
    dead.deaths += 1;
    dead.torn |= party.is_inside();
    dead.forget_order(who);
    // Another handle goes on only if it has begun a life itself. So one of the party has ended.
    let begins = matches!(
        party.at,
        Place::BeginSection | Place::BeginChoosing | Place::BeginNumber | Place::BeginLife
    );
    let fates: &[Place] = if rules.bounds.handles && !begins {
        &[Place::Dead, Place::Orphan]
    } else {
        &[Place::Dead]
    };
    for &fate in fates {
        let mut world = dead;
        world.parties[who].go(fate);
        moves.push(Move { what: What::Dies(number_of(who)), world, breach: None });
    }
}

/// Adds the steps of `bury`. The supervisor may act at any time, on any party, and stop in between
/// for as long as it likes; parties may start meanwhile.
pub(super) fn supervise(rules: &Rules, world: &World, moves: &mut Vec<Move>) {
    let mut push = |who: u8, world: World| {
        moves.push(Move { what: What::Supervises(who + 1), world, breach: None });
    };
    match world.supervisor {
        Supervisor::Idle => {
            for (who, party) in (0..).zip(&world.parties[..rules.bounds.parties]) {
                if rules.is_mortal(usize::from(who)) {
                    let mut next = *world;
                    next.supervisor = Supervisor::HasLife(who, party.life);
                    push(who, next);
                }
            }
        }
        Supervisor::HasLife(who, life) => {
            let mut next = *world;
            next.supervisor = Supervisor::Idle; // no proof
            push(who, next);
            if world.parties[usize::from(who)].is_dead() || rules.has(Flaw::BuriesTheLiving) {
                next.supervisor = Supervisor::HasProof(who, life);
                push(who, next);
            }
        }
        Supervisor::HasProof(who, life) => {
            let mut next = *world;
            next.supervisor = Supervisor::Idle;
            let party = &mut next.parties[usize::from(who)];
            if rules.has(Flaw::SupervisorClears) {
                (party.choosing, party.number) = (false, 0);
            } else {
                let life = if rules.has(Flaw::LifeAfterProof) { party.life } else { life };
                party.buried = small(burial_of(u32::from(life)));
            }
            push(who, next);
        }
    }
}
