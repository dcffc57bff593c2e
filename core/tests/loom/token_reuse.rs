//! Models the reuse of a dead owner's token: the new handle is never robbed, and the death is told.

use shmlock_core::fence::InnerShareable;

use crate::explore::Bound::{Preemptions, Unbounded};
use crate::explore::{explore, explore_deaths};
use crate::world::{Poll, World, spawn};

/// Runs a process, and after its end another one, unless its token is taken.
fn two_processes(world: &World, first: u32, second: u32) {
    let process = world.actor(first);
    process.visit(InnerShareable);
    process.die();
    if let Some(process) = world.try_start(second) {
        process.declare_stale(InnerShareable);
        process.visit(InnerShareable);
        process.die();
    }
}

/// The rival has seen the first process hold the lock; when it has proof of that death, the second
/// holds it. Bounded, as the next: these models have too many steps for every interleaving.
#[test]
fn a_second_process_with_the_same_token_is_not_robbed() {
    explore(Preemptions(6), || {
        let world = World::with_processes(2);
        let rival = spawn(&world, |world| world.actor(2).visit_probing_first(InnerShareable));
        two_processes(&world, 1, 1);
        rival.join().unwrap();
    });
}

#[test]
fn a_second_process_with_another_token_is_not_robbed() {
    explore(Preemptions(6), || {
        let world = World::with_processes(2);
        let rival = spawn(&world, |world| world.actor(2).visit_probing_first(InnerShareable));
        two_processes(&world, 1, 3);
        rival.join().unwrap();
    });
}

/// Bounded: each further preemption costs fifteen times the time.
#[test]
fn a_second_process_is_not_robbed_by_either_of_two_rivals() {
    explore(Preemptions(3), || {
        let world = World::with_processes(3);
        let rivals = [2, 3]
            .map(|token| spawn(&world, move |world| world.actor(token).visit(InnerShareable)));
        two_processes(&world, 1, 1);
        for rival in rivals {
            rival.join().unwrap();
        }
    });
}

/// While the new process lives, the token of the dead owner looks alive; and it never acquires.
#[test]
fn a_new_process_with_the_token_of_the_dead_blocks_no_waiter() {
    explore(Unbounded, || {
        let world = World::with_processes(2);
        world.actor(1).die_in_the_section();
        let rival = spawn(&world, |world| world.actor(2).visit(InnerShareable));
        if let Some(newcomer) = world.try_start(1) {
            newcomer.declare_stale(InnerShareable);
        }
        rival.join().unwrap();
        assert_eq!(world.region().recoveries(), 1);
    });
}

#[test]
fn a_new_process_that_dies_while_it_frees_the_word_blocks_no_waiter() {
    explore_deaths(Unbounded, |steps| {
        let world = World::with_processes(2);
        world.actor(1).die_in_the_section();
        let rival = spawn(&world, |world| world.actor(2).visit(InnerShareable));
        let lived = world.try_start(1).is_none_or(|newcomer| newcomer.declare_stale_or_die(steps));
        rival.join().unwrap();
        lived
    });
}

/// The process that frees the word has not held the lock; the next owner still sees what the dead
/// owner wrote.
#[test]
fn what_a_dead_owner_wrote_is_seen_though_a_new_process_freed_the_word() {
    explore(Unbounded, || {
        let world = World::with_processes(1);
        let next = spawn(&world, |world| {
            let actor = world.actor(2);
            actor.enter(InnerShareable, &mut Poll::for_ever()).unwrap();
            actor.leave(InnerShareable);
        });
        let owner = world.actor(1);
        if owner.enter(InnerShareable, &mut Poll::at_most(0)).is_some() {
            owner.die();
            world.try_start(1).expect("nobody probes").declare_stale(InnerShareable);
        }
        next.join().unwrap();
    });
}
