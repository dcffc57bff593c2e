//! A reader beside the writers of the record: it gets one owner's record whole, or none.
//!
//! Bounded, for every load multiplies the work. Little is lost: a load may see an old value however
//! late it runs, and choosing among the values is no preemption.

use shmlock_core::fence::InnerShareable;
use shmlock_core::protocol::{self, Attempt};
use shmlock_core::uuid::Uuid;
use shmlock_core::{Fence, Record, Token, record};

use crate::explore::Bound::Preemptions;
use crate::explore::{explore, explore_deaths};
use crate::mortal::live;
use crate::world::{Actor, World, beside};

/// A record whose every field follows from one number, so that a torn one shows.
fn numbered(number: u32) -> Record {
    let twice = u64::from(number) << 32 | u64::from(number);
    Record {
        uuid: Uuid::from_u64_pair(twice, 0), // in the models a uuid has two words
        pid: number,
        pid_namespace: number,
        since: number.into(),
        description: record::description(&number.to_string()).expect("short"),
    }
}

/// What a reader may find of an owner with this token.
fn of(token: Token) -> Record {
    numbered(token.get())
}

/// Reads once, and judges.
fn read(world: &World) {
    if let Some(holder) = world.region().holder(InnerShareable) {
        assert!(
            holder.record.is_none_or(|record| record == of(holder.token)),
            "torn, or another owner's"
        );
    }
}

/// Holds the lock, saying so in the record.
fn hold(actor: &Actor<'_>, fence: impl Fence) {
    let word = actor.region.owner_word();
    let _ = protocol::try_acquire(word, actor.me, Attempt::First, fence).expect("free");
    actor.region.write_record(actor.me, &of(actor.me), fence);
    let _ = protocol::release(word, actor.me, fence).expect("mine");
}

#[test]
fn a_record_that_is_being_rewritten_is_read_whole_or_not_at_all() {
    explore(Preemptions(3), || {
        let world = World::with_processes(0);
        let owner = world.actor(1);
        owner.region.write_record(owner.me, &numbered(1), InnerShareable);
        let reader = beside(&world, |world| {
            let record = world.region().record_of(world.actor(1).me, InnerShareable);
            assert!(record.is_none_or(|record| [1, 2].map(numbered).contains(&record)), "torn");
        });
        owner.region.write_record(owner.me, &numbered(2), InnerShareable);
        reader.join().unwrap();
    });
}

#[test]
fn the_record_of_the_owner_before_is_never_taken_for_the_present_ones() {
    explore(Preemptions(3), || {
        let world = World::with_processes(0);
        hold(&world.actor(1), InnerShareable);
        let reader = beside(&world, read);
        hold(&world.actor(2), InnerShareable);
        reader.join().unwrap();
    });
}

/// It dies at each fence in turn, two of which stand in the writing.
#[test]
fn a_record_left_half_written_is_not_read_and_the_next_owners_is() {
    explore_deaths(Preemptions(3), |steps| {
        let world = World::with_processes(0);
        let (owner, heir) = (world.actor(1), world.actor(2));
        let reader = beside(&world, |world| {
            let dead = world.actor(1).me;
            assert!(
                world
                    .region()
                    .record_of(dead, InnerShareable)
                    .is_none_or(|record| record == of(dead)),
                "torn"
            );
        });
        let lived = live(steps, |mortal| hold(&owner, mortal));
        reader.join().unwrap();
        if protocol::take_over(heir.region.owner_word(), owner.me, heir.me, InnerShareable)
            .is_some()
        {
            heir.region.write_record(heir.me, &of(heir.me), InnerShareable);
            assert_eq!(
                world.region().holder(InnerShareable).and_then(|holder| holder.record),
                Some(of(heir.me))
            );
        }
        lived
    });
}
