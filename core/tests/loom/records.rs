//! Models a reader beside the writers of the record: it gets one owner's record whole, or none.
//!
//! Bounded, for every load multiplies the work. Little is lost: a load may see an old value however
//! late it runs, and the choice among the values is not a preemption.

use shmlock_core::fence::InnerShareable;
use shmlock_core::protocol::{self, Attempt};
use shmlock_core::uuid::Uuid;
use shmlock_core::{Fence, Record, Token, record};

use crate::explore::Bound::Preemptions;
use crate::explore::{explore, explore_deaths};
use crate::mortal::live;
use crate::world::{Actor, World, spawn};

/// Returns a record whose fields all follow from one number, so that a torn record shows.
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

/// Returns the record of the owner with this token.
fn of(token: Token) -> Record {
    numbered(token.get())
}

/// Reads once, and checks the result.
fn read(world: &World) {
    if let Some(holder) = world.region().holder(InnerShareable) {
        assert!(
            holder.record.is_none_or(|record| record == of(holder.token)),
            "torn, or another owner's"
        );
    }
}

/// Acquires, writes the record, and releases.
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
        let reader = spawn(&world, |world| {
            let record = world.region().record_of(world.actor(1).me, InnerShareable);
            assert!(record.is_none_or(|record| [1, 2].map(numbered).contains(&record)), "torn");
        });
        owner.region.write_record(owner.me, &numbered(2), InnerShareable);
        reader.join().unwrap();
    });
}

#[test]
fn the_record_of_the_owner_before_is_never_attributed_to_the_present_one() {
    explore(Preemptions(3), || {
        let world = World::with_processes(0);
        hold(&world.actor(1), InnerShareable);
        let reader = spawn(&world, read);
        hold(&world.actor(2), InnerShareable);
        reader.join().unwrap();
    });
}

/// The owner dies at each fence in turn; two of them stand in the write.
#[test]
fn a_record_left_half_written_is_not_read_and_the_next_owners_is() {
    explore_deaths(Preemptions(3), |steps| {
        let world = World::with_processes(0);
        let (owner, successor) = (world.actor(1), world.actor(2));
        let reader = spawn(&world, |world| {
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
        if protocol::take_over(
            successor.region.owner_word(),
            owner.me,
            successor.me,
            InnerShareable,
        )
        .is_some()
        {
            successor.region.write_record(successor.me, &of(successor.me), InnerShareable);
            assert_eq!(
                world.region().holder(InnerShareable).and_then(|holder| holder.record),
                Some(of(successor.me))
            );
        }
        lived
    });
}
