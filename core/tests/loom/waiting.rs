//! Nobody is left asleep. There is no tick: a wake that is owed and not given is a deadlock, which
//! fails the model.

use shmlock_core::fence::InnerShareable;

use crate::explore::Bound::{Preemptions, Unbounded};
use crate::explore::{explore, explore_deaths};
use crate::world::{World, beside};

#[test]
fn of_two_actors_each_wakes_the_other() {
    explore(Unbounded, || {
        let world = World::with_processes(2);
        let other = beside(&world, |world| world.actor(2).visit(InnerShareable));
        world.actor(1).visit(InnerShareable);
        other.join().unwrap();
        assert_eq!(world.section.ended(), 2);
    });
}

/// The one who comes twice overtakes those who sleep: a woken sleeper finds the lock taken and the
/// flag gone. Bounded, as the next: each preemption more costs ten times the time.
#[test]
fn a_woken_sleeper_leaves_nobody_asleep_behind_it() {
    explore(Preemptions(4), || {
        let world = World::with_processes(3);
        let sleepers = [2, 3]
            .map(|token| beside(&world, move |world| world.actor(token).visit(InnerShareable)));
        let owner = world.actor(1);
        owner.visit(InnerShareable);
        owner.visit(InnerShareable);
        for sleeper in sleepers {
            sleeper.join().unwrap();
        }
        assert_eq!(world.section.ended(), 4);
    });
}

/// Two pass the lock on while the third may sleep: whoever takes it takes over the duty to wake,
/// and it is nobody's twice. Bounded, as above.
#[test]
fn who_passes_on_leaves_nobody_asleep() {
    explore(Preemptions(4), || {
        let world = World::with_processes(3);
        let sleeper = beside(&world, |world| world.actor(3).visit(InnerShareable));
        let other = beside(&world, |world| {
            let actor = world.actor(2);
            actor.enter(InnerShareable, &mut actor.sleep()).unwrap();
            actor.leave_to_the_awake(InnerShareable);
        });
        let owner = world.actor(1);
        owner.enter(InnerShareable, &mut owner.sleep()).unwrap();
        owner.leave_to_the_awake(InnerShareable);
        sleeper.join().unwrap();
        other.join().unwrap();
        assert_eq!(world.section.ended(), 3);
    });
}

/// The wake that it used up was another's.
#[test]
fn a_sleeper_that_gives_up_leaves_nobody_asleep_behind_it() {
    explore(Preemptions(4), || {
        let world = World::with_processes(3);
        let impatient = beside(&world, |world| {
            let actor = world.actor(2);
            if actor.enter(InnerShareable, &mut actor.sleep_at_most(1)).is_some() {
                actor.leave(InnerShareable);
            }
        });
        let patient = beside(&world, |world| world.actor(3).visit(InnerShareable));
        let owner = world.actor(1);
        owner.visit(InnerShareable);
        owner.visit(InnerShareable);
        impatient.join().unwrap();
        patient.join().unwrap();
    });
}

/// It dies at each of its steps in turn, among them the one after the wake that was meant for two.
/// Bounded: as above, and a dozen times.
#[test]
fn a_waiter_that_dies_leaves_nobody_asleep_behind_it() {
    explore_deaths(Preemptions(3), |steps| {
        let world = World::with_processes(3);
        let mortal = beside(&world, move |world| world.actor(2).visit_or_die(steps));
        let patient = beside(&world, |world| world.actor(3).visit(InnerShareable));
        world.actor(1).visit(InnerShareable);
        patient.join().unwrap();
        mortal.join().unwrap()
    });
}
