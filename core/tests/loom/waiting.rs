//! Models waiting: no waiter is left asleep. No interval ends here, so a wake that is owed and not
//! given is a deadlock, which fails the model.

use shmlock_core::fence::InnerShareable;

use crate::explore::Bound::{Preemptions, Unbounded};
use crate::explore::{explore, explore_deaths};
use crate::world::{World, spawn};

#[test]
fn of_two_actors_each_wakes_the_other() {
    explore(Unbounded, || {
        let world = World::with_processes(2);
        let other = spawn(&world, |world| world.actor(2).visit(InnerShareable));
        world.actor(1).visit(InnerShareable);
        other.join().unwrap();
        assert_eq!(world.section.ended(), 2);
    });
}

/// The owner that comes twice overtakes the sleeping waiters: a woken waiter finds the lock held
/// and WAITERS clear. Bounded, as the next: each further preemption costs ten times the time.
#[test]
fn a_woken_waiter_leaves_no_other_asleep() {
    explore(Preemptions(4), || {
        let world = World::with_processes(3);
        let sleepers = [2, 3]
            .map(|token| spawn(&world, move |world| world.actor(token).visit(InnerShareable)));
        let owner = world.actor(1);
        owner.visit(InnerShareable);
        owner.visit(InnerShareable);
        for sleeper in sleepers {
            sleeper.join().unwrap();
        }
        assert_eq!(world.section.ended(), 4);
    });
}

/// Two actors release without wake while the third may sleep: the next owner takes over the duty to
/// wake, and only one has it. Bounded, as above.
#[test]
fn a_release_without_wake_leaves_no_waiter_asleep() {
    explore(Preemptions(4), || {
        let world = World::with_processes(3);
        let sleeper = spawn(&world, |world| world.actor(3).visit(InnerShareable));
        let other = spawn(&world, |world| {
            let actor = world.actor(2);
            actor.enter(InnerShareable, &mut actor.sleep()).unwrap();
            actor.leave_without_wake(InnerShareable);
        });
        let owner = world.actor(1);
        owner.enter(InnerShareable, &mut owner.sleep()).unwrap();
        owner.leave_without_wake(InnerShareable);
        sleeper.join().unwrap();
        other.join().unwrap();
        assert_eq!(world.section.ended(), 3);
    });
}

/// The wake that it used up was meant for another waiter.
#[test]
fn a_waiter_that_gives_up_leaves_no_other_asleep() {
    explore(Preemptions(4), || {
        let world = World::with_processes(3);
        let impatient = spawn(&world, |world| {
            let actor = world.actor(2);
            if actor.enter(InnerShareable, &mut actor.sleep_at_most(1)).is_some() {
                actor.leave(InnerShareable);
            }
        });
        let patient = spawn(&world, |world| world.actor(3).visit(InnerShareable));
        let owner = world.actor(1);
        owner.visit(InnerShareable);
        owner.visit(InnerShareable);
        impatient.join().unwrap();
        patient.join().unwrap();
    });
}

/// The waiter dies at each of its steps in turn, among them the one after a wake that was meant for
/// two. Bounded, as above.
#[test]
fn a_waiter_that_dies_leaves_no_other_asleep() {
    explore_deaths(Preemptions(3), |steps| {
        let world = World::with_processes(3);
        let mortal = spawn(&world, move |world| world.actor(2).visit_or_die(steps));
        let patient = spawn(&world, |world| world.actor(3).visit(InnerShareable));
        world.actor(1).visit(InnerShareable);
        patient.join().unwrap();
        mortal.join().unwrap()
    });
}
