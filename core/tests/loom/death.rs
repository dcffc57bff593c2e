//! An owner dies, and another one takes over: once, told of it, seeing what the dead one did, and
//! leaving nobody asleep.

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
use crate::world::{Look, World, beside, name};

/// It dies at each of its steps in turn; both rivals may be asleep then, and only one of them is
/// woken by the death. Bounded: three threads, a dozen times, and each preemption more costs ten
/// times the time.
#[test]
fn an_owner_that_dies_is_replaced_and_both_rivals_come_through() {
    explore_deaths(Preemptions(3), |steps| {
        let world = World::with_processes(3);
        let rivals = [2, 3]
            .map(|token| beside(&world, move |world| world.actor(token).visit(InnerShareable)));
        let lived = world.actor(1).visit_or_die(steps);
        for rival in rivals {
            rival.join().unwrap();
        }
        assert!(world.section.ended() >= 2 + u32::from(lived));
        lived
    });
}

/// Bounded, as the next: it does end without, but not in minutes.
#[test]
fn one_that_dies_while_it_takes_over_is_replaced_as_well() {
    explore_deaths(Preemptions(5), |steps| {
        let world = World::with_processes(3);
        world.actor(1).die_in_the_section();
        let heir = beside(&world, move |world| world.actor(2).visit_or_die(steps));
        world.actor(3).visit(InnerShareable);
        heir.join().unwrap()
    });
}

#[test]
fn only_one_of_two_rivals_replaces_a_dead_owner_and_the_other_is_not_told_once_the_data_is_mended()
{
    fn mend(world: &World, token: u32) -> bool {
        let actor = world.actor(token);
        let told = actor.enter(InnerShareable, &mut actor.sleep()).unwrap();
        if told {
            protocol::declare_consistent(actor.region.owner_word(), actor.me).unwrap();
            world.section.mend();
        }
        actor.leave(InnerShareable);
        told
    }
    explore(Preemptions(5), || {
        let world = World::with_processes(3);
        world.actor(1).die_in_the_section();
        let rival = beside(&world, |world| mend(world, 2));
        let told = mend(&world, 3);
        assert_ne!(told, rival.join().unwrap());
        assert_eq!(world.region().recoveries(), 1);
        assert!(!world.region().word().owner_died());
    });
}

/// A proof of death that orders nothing by itself: whoever ended the owner says so, and the asker
/// only looks.
struct ResetLine<'a>(&'a AtomicBool);

impl Liveness for ResetLine<'_> {
    fn while_dead<R>(&mut self, owner: Token, act: impl FnOnce() -> R) -> Option<R> {
        (owner == name(1) && self.0.load(Relaxed)).then(act)
    }
}

/// Asks each time whether the owner lives.
struct Ask;

impl Wait for Ask {
    fn wait(&mut self, _contention: &mut WaitContext<'_>) -> WaitAction {
        thread::yield_now();
        WaitAction::Probe
    }
}

#[test]
fn what_the_dead_did_is_seen_even_if_the_proof_of_its_death_is_only_looked_at() {
    explore(Unbounded, || {
        let world = World::with_processes(0);
        let line = std::sync::Arc::new(AtomicBool::new(false));
        let seen = std::sync::Arc::clone(&line);
        let heir = beside(&world, move |world| {
            let heir = world.actor(2);
            heir.enter_or_recover(InnerShareable, &mut Ask, &mut ResetLine(&seen))
                .expect("asks until it has it");
            heir.leave(InnerShareable);
        });
        if world.actor(1).enter(InnerShareable, &mut Look::at_most(0)).is_some() {
            line.store(true, Release); // it has died
        }
        heir.join().unwrap();
    });
}
