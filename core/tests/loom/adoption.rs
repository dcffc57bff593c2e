//! A number that was a dead owner's is given out again: the new one is never robbed, and the old
//! one is not forgotten.

use shmlock_core::fence::InnerShareable;

use crate::explore::Bound::{Preemptions, Unbounded};
use crate::explore::{explore, explore_deaths};
use crate::world::{Look, World, beside};

/// A process, and after its end another one. It does not come if its token is not free.
fn two_lives(world: &World, first: u32, second: u32) {
    let process = world.actor(first);
    process.visit(InnerShareable);
    process.die();
    if let Some(process) = world.try_born(second) {
        process.declare_stale(InnerShareable);
        process.visit(InnerShareable);
        process.die();
    }
}

/// The rival has seen the first life hold the lock; by the time it has proof of that one's death,
/// the second holds it. Bounded, as the next: two lives beside a rival have too many steps for
/// every interleaving.
#[test]
fn a_second_life_with_the_same_token_is_not_robbed() {
    explore(Preemptions(6), || {
        let world = World::with_processes(2);
        let rival = beside(&world, |world| world.actor(2).visit_asking_first(InnerShareable));
        two_lives(&world, 1, 1);
        rival.join().unwrap();
    });
}

#[test]
fn a_second_life_with_another_token_is_not_robbed() {
    explore(Preemptions(6), || {
        let world = World::with_processes(2);
        let rival = beside(&world, |world| world.actor(2).visit_asking_first(InnerShareable));
        two_lives(&world, 1, 3);
        rival.join().unwrap();
    });
}

/// Bounded: each preemption more costs fifteen times the time.
#[test]
fn a_second_life_is_not_robbed_by_either_of_two_rivals() {
    explore(Preemptions(3), || {
        let world = World::with_processes(3);
        let rivals = [2, 3]
            .map(|token| beside(&world, move |world| world.actor(token).visit(InnerShareable)));
        two_lives(&world, 1, 1);
        for rival in rivals {
            rival.join().unwrap();
        }
    });
}

/// The newcomer vouches for the dead one's token as long as it lives, and it never takes the lock.
#[test]
fn a_newcomer_with_the_token_of_the_dead_keeps_nobody_waiting() {
    explore(Unbounded, || {
        let world = World::with_processes(2);
        world.actor(1).die_in_the_section();
        let rival = beside(&world, |world| world.actor(2).visit(InnerShareable));
        if let Some(newcomer) = world.try_born(1) {
            newcomer.declare_stale(InnerShareable);
        }
        rival.join().unwrap();
        assert_eq!(world.region().recoveries(), 1);
    });
}

#[test]
fn a_newcomer_that_dies_over_the_word_of_the_dead_keeps_nobody_waiting() {
    explore_deaths(Unbounded, |steps| {
        let world = World::with_processes(2);
        world.actor(1).die_in_the_section();
        let rival = beside(&world, |world| world.actor(2).visit(InnerShareable));
        let lived = world.try_born(1).is_none_or(|newcomer| newcomer.declare_stale_or_die(steps));
        rival.join().unwrap();
        lived
    });
}

/// The one who frees the word has not held the lock; the next owner sees what the dead one did all
/// the same.
#[test]
fn what_the_dead_did_is_seen_by_the_next_owner_though_a_newcomer_freed_the_word() {
    explore(Unbounded, || {
        let world = World::with_processes(1);
        let next = beside(&world, |world| {
            let actor = world.actor(2);
            actor.enter(InnerShareable, &mut Look::for_ever()).unwrap();
            actor.leave(InnerShareable);
        });
        let owner = world.actor(1);
        if owner.enter(InnerShareable, &mut Look::at_most(0)).is_some() {
            owner.die();
            world.try_born(1).expect("nobody probes").declare_stale(InnerShareable);
        }
        next.join().unwrap();
    });
}
