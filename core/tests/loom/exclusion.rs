//! Models exclusion: one owner at a time, and each sees what the previous one wrote. No actor
//! sleeps or probes here, for the kernel's lock would order memory as well: only the two fences
//! order.

use std::num::NonZeroU16;

use shmlock_core::fence::InnerShareable;
use shmlock_core::protocol::{self, Acquisition, Attempt};
use shmlock_core::wait::Spin;
use shmlock_core::{FenceScope, RegionLock, Word};

use crate::explore::Bound::{Preemptions, Unbounded};
use crate::explore::explore;
use crate::world::{Poll, World, spawn};

fn visit_by_polling(world: &World, token: u32, sections: u32, fence: FenceScope) {
    let actor = world.actor(token);
    for _ in 0..sections {
        actor.enter(fence, &mut Poll::for_ever()).expect("does not give up");
        actor.leave(fence);
    }
}

/// Runs two actors, each with this many critical sections.
fn contend(mine: u32, others: u32, fence: FenceScope) {
    let world = World::with_processes(0);
    let other = spawn(&world, move |world| visit_by_polling(world, 2, others, fence));
    visit_by_polling(&world, 1, mine, fence);
    other.join().unwrap();
    assert_eq!(world.region().word(), Word::FREE);
    assert_eq!(world.section.ended(), mine + others);
}

#[test]
fn two_actors_exclude_each_other() {
    explore(Unbounded, || contend(2, 2, FenceScope::InnerShareable));
}

/// By the fast steps, and by releases without wake.
#[test]
fn two_actors_that_release_without_wake_exclude_each_other() {
    fn visit(world: &World, token: u32) {
        let actor = world.actor(token);
        let owner = actor.region.owner_word();
        if protocol::try_acquire_fast(owner, actor.me, InnerShareable) {
            actor.begin(InnerShareable, Acquisition { owner_died: false, recovered_from: None });
        } else {
            actor.enter(InnerShareable, &mut Poll::for_ever()).expect("does not give up");
        }
        let _ = protocol::set_waiters(owner, Word::held_by(actor.me)); // as a waiter does
        world.section.end();
        protocol::release_without_wake(owner, actor.me, InnerShareable).expect("mine");
        let _ = protocol::claim_wake(owner);
    }
    explore(Unbounded, || {
        let world = World::with_processes(0);
        let other = spawn(&world, |world| visit(world, 2));
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
        let other = spawn(&world, |world| visit(world, 2) + visit(world, 2));
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

/// Each actor tries three times at most: two that poll for ever could do so while the third does
/// not run. Bounded: that is enough for each order of the three.
#[test]
fn three_actors_exclude_each_other() {
    fn visit(world: &World, token: u32) -> bool {
        let actor = world.actor(token);
        let entered = actor.enter(InnerShareable, &mut Poll::at_most(2)).is_some();
        if entered {
            actor.leave(InnerShareable);
        }
        entered
    }
    explore(Preemptions(4), || {
        let world = World::with_processes(0);
        let others = [2, 3].map(|token| spawn(&world, move |world| visit(world, token)));
        let mut entered = u32::from(visit(&world, 1));
        for other in others {
            entered += u32::from(other.join().unwrap());
        }
        assert!(entered > 0);
        assert_eq!(world.section.ended(), entered);
    });
}

#[test]
fn an_inner_release_keeps_the_lock() {
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
        let other = spawn(&world, |world| nested(world, 2));
        nested(&world, 1);
        other.join().unwrap();
        assert_eq!(world.section.ended(), 2);
    });
}

#[test]
fn a_handle_that_acquires_again_sees_whether_another_has_counted_in_between() {
    fn twice(world: &World, token: u16) {
        let lock = RegionLock::new(world.region(), NonZeroU16::new(token).unwrap());
        for _ in 0..2 {
            let guard = lock.lock(&mut Spin::attempts(u32::MAX)).unwrap();
            world.section.begin(guard.owner_died(), guard.fencing_token());
            world.section.end();
            guard.release().unwrap();
        }
    }
    explore(Preemptions(3), || {
        let world = World::with_processes(0);
        let other = spawn(&world, |world| twice(world, 2));
        twice(&world, 1);
        other.join().unwrap();
        assert_eq!(world.section.ended(), 4);
        assert_eq!(world.region().acquisitions(), 4);
    });
}

#[test]
fn what_an_owner_did_before_it_abandoned_its_section_is_seen() {
    explore(Unbounded, || {
        let world = World::with_processes(0);
        let other = spawn(&world, |world| {
            let actor = world.actor(2);
            actor.enter(InnerShareable, &mut Poll::for_ever()).unwrap();
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
        other.join().unwrap(); // the critical section asserts that a second owner is told
        assert_eq!(world.region().word().owner_died(), acquired.is_ok());
    });
}
