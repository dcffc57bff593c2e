//! Models the death of an owner: one waiter takes over, is told, sees what the dead owner wrote,
//! and leaves no other waiter asleep.

use loom::sync::atomic::AtomicBool;
use loom::thread;
use shmlock_core::Token;
use shmlock_core::contend::Liveness;
use shmlock_core::fence::InnerShareable;
use shmlock_core::protocol;
use shmlock_core::wait::{Wait, WaitAction, WaitContext};
use std::sync::atomic::Ordering::{Relaxed, Release};

use crate::explore::Bound::{Preemptions, Unbounded};
use crate::explore::{explore, explore_deaths};
use crate::world::{Poll, World, spawn, token};

/// The owner dies at each of its steps in turn. Both rivals may be asleep then, and the death wakes
/// only one of them. Bounded: each further preemption costs ten times the time.
#[test]
fn after_an_owner_dies_both_rivals_acquire() {
    explore_deaths(Preemptions(3), |steps| {
        let world = World::with_processes(3);
        let rivals = [2, 3]
            .map(|token| spawn(&world, move |world| world.actor(token).visit(InnerShareable)));
        let lived = world.actor(1).visit_or_die(steps);
        for rival in rivals {
            rival.join().unwrap();
        }
        assert!(world.section.ended() >= 2 + u32::from(lived));
        lived
    });
}

/// Bounded, as the next: without a bound it does not end in minutes.
#[test]
fn a_waiter_that_dies_while_it_takes_over_is_recovered_from_as_well() {
    explore_deaths(Preemptions(5), |steps| {
        let world = World::with_processes(3);
        world.actor(1).die_in_the_section();
        let successor = spawn(&world, move |world| world.actor(2).visit_or_die(steps));
        world.actor(3).visit(InnerShareable);
        successor.join().unwrap()
    });
}

#[test]
fn only_one_of_two_rivals_recovers_and_the_other_is_not_told_once_the_data_is_consistent() {
    fn repair(world: &World, token: u32) -> bool {
        let actor = world.actor(token);
        let told = actor.enter(InnerShareable, &mut actor.sleep()).unwrap();
        if told {
            protocol::declare_consistent(actor.region.owner_word(), actor.me).unwrap();
            world.section.declare_consistent();
        }
        actor.leave(InnerShareable);
        told
    }
    explore(Preemptions(5), || {
        let world = World::with_processes(3);
        world.actor(1).die_in_the_section();
        let rival = spawn(&world, |world| repair(world, 2));
        let told = repair(&world, 3);
        assert_ne!(told, rival.join().unwrap());
        assert_eq!(world.region().recoveries(), 1);
        assert!(!world.region().word().owner_died());
    });
}

/// A proof of death that orders nothing by itself: a flag that the waiter only reads.
struct ResetLine<'a>(&'a AtomicBool);

impl Liveness for ResetLine<'_> {
    fn while_dead<R>(&mut self, owner: Token, act: impl FnOnce() -> R) -> Option<R> {
        (owner == token(1) && self.0.load(Relaxed)).then(act)
    }
}

/// A wait that asks for a probe each time.
struct ProbeAlways;

impl Wait for ProbeAlways {
    fn wait(&mut self, _contention: &mut WaitContext<'_>) -> WaitAction {
        thread::yield_now();
        WaitAction::Probe
    }
}

#[test]
fn what_a_dead_owner_wrote_is_seen_even_if_the_proof_of_its_death_is_only_read() {
    explore(Unbounded, || {
        let world = World::with_processes(0);
        let line = std::sync::Arc::new(AtomicBool::new(false));
        let seen = std::sync::Arc::clone(&line);
        let successor = spawn(&world, move |world| {
            let successor = world.actor(2);
            successor
                .enter_or_recover(InnerShareable, &mut ProbeAlways, &mut ResetLine(&seen))
                .expect("does not give up");
            successor.leave(InnerShareable);
        });
        if world.actor(1).enter(InnerShareable, &mut Poll::at_most(0)).is_some() {
            line.store(true, Release); // the owner has died
        }
        successor.join().unwrap();
    });
}
