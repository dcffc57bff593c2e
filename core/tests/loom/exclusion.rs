//! One owner at a time, and each sees what the one before it did. Nobody sleeps here and nobody
//! asks the kernel, whose lock would order memory too: what is in order is so by the two fences
//! alone.

use std::num::NonZeroU16;

use shmlock_core::fence::InnerShareable;
use shmlock_core::protocol::{self, Acquisition, Attempt};
use shmlock_core::wait::Spin;
use shmlock_core::{FenceScope, RegionLock, Word};

use crate::explore::Bound::{Preemptions, Unbounded};
use crate::explore::explore;
use crate::world::{Look, World, beside};

fn look_and_visit(world: &World, token: u32, sections: u32, fence: FenceScope) {
    let actor = world.actor(token);
    for _ in 0..sections {
        actor.enter(fence, &mut Look::for_ever()).expect("looks until it has it");
        actor.leave(fence);
    }
}

/// Two actors, each of which does so many sections.
fn contend(mine: u32, others: u32, fence: FenceScope) {
    let world = World::with_processes(0);
    let other = beside(&world, move |world| look_and_visit(world, 2, others, fence));
    look_and_visit(&world, 1, mine, fence);
    other.join().unwrap();
    assert_eq!(world.region().word(), Word::FREE);
    assert_eq!(world.section.ended(), mine + others);
}

#[test]
fn two_actors_exclude_each_other() {
    explore(Unbounded, || contend(2, 2, FenceScope::InnerShareable));
}

/// By the steps of the undisturbed path and by passing on.
#[test]
fn two_actors_who_pass_on_exclude_each_other() {
    fn visit(world: &World, token: u32) {
        let actor = world.actor(token);
        let owner = actor.region.owner_word();
        if protocol::try_acquire_fast(owner, actor.me, InnerShareable) {
            actor.begin(InnerShareable, Acquisition { owner_died: false, recovered_from: None });
        } else {
            actor.enter(InnerShareable, &mut Look::for_ever()).expect("looks until it has it");
        }
        let _ = protocol::mark_waiting(owner, Word::held_by(actor.me)); // somebody may sleep
        world.section.end();
        protocol::release_without_wake(owner, actor.me, InnerShareable).expect("mine");
        let _ = protocol::claim_wake(owner);
    }
    explore(Unbounded, || {
        let world = World::with_processes(0);
        let other = beside(&world, |world| visit(world, 2));
        visit(&world, 1);
        other.join().unwrap();
        assert_eq!((world.region().word(), world.section.ended()), (Word::FREE, 2));
    });
}

#[test]
fn two_actors_exclude_each_other_undisturbed() {
    fn visit(world: &World, token: u32) -> u32 {
        let actor = world.actor(token);
        let owner = actor.region.owner_word();
        let entered = protocol::try_acquire_fast(owner, actor.me, InnerShareable);
        if entered {
            actor.begin(InnerShareable, Acquisition { owner_died: false, recovered_from: None });
            world.section.end();
            protocol::release_fast(owner, actor.me, InnerShareable).expect("mine");
        }
        u32::from(entered)
    }
    explore(Unbounded, || {
        let world = World::with_processes(0);
        let other = beside(&world, |world| visit(world, 2) + visit(world, 2));
        let entered = visit(&world, 1) + other.join().unwrap();
        assert_eq!(world.section.ended(), entered);
    });
}

/// The barrier of the full system is one instruction on ARM, which loom does not see.
#[test]
#[cfg(not(any(target_arch = "arm", target_arch = "aarch64")))]
fn two_actors_exclude_each_other_across_the_full_system() {
    explore(Unbounded, || contend(2, 1, FenceScope::FullSystem));
}

/// Each looks three times at most: two who look for ever could do so while the third is kept from
/// going on. Bounded: that is enough for each order of the three.
#[test]
fn three_actors_exclude_each_other() {
    fn visit(world: &World, token: u32) -> bool {
        let actor = world.actor(token);
        let entered = actor.enter(InnerShareable, &mut Look::at_most(2)).is_some();
        if entered {
            actor.leave(InnerShareable);
        }
        entered
    }
    explore(Preemptions(4), || {
        let world = World::with_processes(0);
        let others = [2, 3].map(|token| beside(&world, move |world| visit(world, token)));
        let mut entered = u32::from(visit(&world, 1));
        for other in others {
            entered += u32::from(other.join().unwrap());
        }
        assert!(entered > 0);
        assert_eq!(world.section.ended(), entered);
    });
}

#[test]
fn an_inner_section_ends_nothing() {
    fn nested(world: &World, token: u16) {
        let lock = RegionLock::new(world.region(), NonZeroU16::new(token).unwrap());
        let outer = lock.lock(&mut Spin::attempts(u32::MAX)).unwrap();
        world.section.begin(outer.owner_died(), outer.fencing_token());
        lock.acquire(&mut Spin::attempts(0)).unwrap();
        drop(lock.try_lock().unwrap());
        lock.release().unwrap();
        assert!(lock.is_held());
        world.section.end();
        outer.release().unwrap();
    }
    explore(Unbounded, || {
        let world = World::with_processes(0);
        let other = beside(&world, |world| nested(world, 2));
        nested(&world, 1);
        other.join().unwrap();
        assert_eq!(world.section.ended(), 2);
    });
}

#[test]
fn what_an_owner_did_before_it_abandoned_its_section_is_seen() {
    explore(Unbounded, || {
        let world = World::with_processes(0);
        let other = beside(&world, |world| {
            let actor = world.actor(2);
            actor.enter(InnerShareable, &mut Look::for_ever()).unwrap();
            actor.leave(InnerShareable);
        });
        let actor = world.actor(1);
        let acquired = protocol::try_acquire(
            actor.region.owner_word(),
            actor.me,
            Attempt::First,
            InnerShareable,
        );
        if let Ok(acquisition) = acquired {
            actor.begin(InnerShareable, acquisition);
            let _ = protocol::abandon(actor.region.owner_word(), actor.me, InnerShareable).unwrap();
        }
        other.join().unwrap(); // that it was told if it came second, its section has seen to
        assert_eq!(world.region().word().owner_died(), acquired.is_ok());
    });
}
