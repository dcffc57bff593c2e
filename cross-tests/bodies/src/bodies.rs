//! Lists the bodies in the order in which they run. Each leaves the owner word free, with no flag.

use core::fmt::Write as _;

use shmlock_core::record::Description;
use shmlock_core::uuid::Uuid;
use shmlock_core::wait::{self, Spin, Wait, WaitAction, WaitContext, Wfe};
use shmlock_core::{Error, Record, RegionLock};

use crate::arena::Member;
use crate::exclusion;
use crate::ledger::Tally;

/// One test, run by every member at the same time.
#[derive(Clone, Copy, Debug)]
pub struct Body {
    /// The property that it tests, as a sentence.
    pub name: &'static str,
    /// Runs it with a number of rounds.
    pub run: fn(&mut Member<'_>, u32),
}

/// All bodies.
pub const BODIES: [Body; 9] = [
    Body { name: "one member at a time is in the critical section", run: exclusion::one_at_a_time },
    Body {
        name: "the same with fences for the full system",
        run: exclusion::one_at_a_time_in_the_full_system,
    },
    Body { name: "a nested hold excludes the others", run: nested_holds },
    Body { name: "the fencing token grows by one with each acquisition", run: fencing_tokens },
    Body { name: "each member reads the records of the others", run: records },
    Body { name: "a member that waits by `wfe` acquires the lock", run: waiting_by_event },
    Body { name: "a bounded wait ends while another member holds the lock", run: bounded_attempts },
    Body { name: "a wait that uses its own handle is refused", run: reentrant_waits },
    Body { name: "an owner that restarts recovers its lock", run: owner_restarts },
];

fn nested_holds(member: &mut Member<'_>, rounds: u32) {
    let (rounds, lock, ledger) = (rounds / 4, member.lock(), &member.arena.ledger);
    if member.is_first() {
        ledger.clear();
    }
    member.barrier();
    for _ in 0..rounds {
        let outer = lock.lock(&mut member.patience()).expect("the owner releases it");
        ledger.visit(member.index());
        let inner = lock.try_lock().expect("no call in progress").expect("ours already");
        lock.acquire(&mut Spin::attempts(0)).expect("ours already");
        drop(inner);
        lock.release().expect("acquired once without a guard");
        assert!(lock.word().is_owned_by(lock.token()), "an inner hold released the lock");
        ledger.visit(member.index());
        drop(outer);
    }
    member.barrier();
    assert_eq!(
        ledger.tally(),
        Tally { visits: (2 * rounds).wrapping_mul(member.members()), torn: false }
    );
    member.barrier();
}

fn fencing_tokens(member: &mut Member<'_>, rounds: u32) {
    let (rounds, lock, ledger) = (rounds / 4, member.lock(), &member.arena.ledger);
    if member.is_first() {
        let guard = lock.try_lock().expect("no call in progress").expect("free");
        ledger.replace_last(guard.fencing_token());
    }
    member.barrier();
    for _ in 0..rounds {
        let guard = lock.lock(&mut member.patience()).expect("the owner releases it");
        let now = guard.fencing_token();
        assert_eq!(now, ledger.replace_last(now) + 1, "each acquisition counts once");
    }
    member.barrier();
}

/// Returns the record of a member, whose fields all follow from the index.
fn record(index: u32) -> Record {
    let mut description = Description::new();
    write!(description, "member {index}").expect("short");
    Record {
        uuid: Uuid::from_u128(index.into()),
        pid: index,
        pid_namespace: 7,
        since: index.into(),
        description,
    }
}

fn records(member: &mut Member<'_>, rounds: u32) {
    let lock = member.lock().with_record(record(member.index()));
    for index in 0..member.members() {
        let guard = (index == member.index())
            .then(|| lock.try_lock().expect("no call in progress").expect("free"));
        member.barrier();
        let holder = lock.holder().expect("held");
        assert_eq!((holder.token, holder.record), (Member::token(index), Some(record(index))));
        member.barrier();
        drop(guard);
        member.barrier();
    }
    // While the lock changes hands, a record belongs to the owner it is read with, or is absent.
    for _ in 0..rounds / 16 {
        drop(lock.lock(&mut member.patience()).expect("the owner releases it"));
        if let Some(holder) = lock.holder() {
            assert!(holder.record.is_none_or(|found| found == record(holder.token.get() - 1)));
        }
    }
    member.barrier();
}

fn waiting_by_event(member: &mut Member<'_>, rounds: u32) {
    let (lock, region) = (member.lock(), member.region());
    for round in 0..rounds / 64 {
        if round % member.members() == member.index() {
            let guard = lock.lock(&mut member.patience()).expect("the owner releases it");
            member.barrier();
            member.until("another member waits", || {
                member.members() == 1 || region.word().has_waiters()
            });
            drop(guard); // sends the event
        } else {
            member.barrier();
            drop(lock.lock(&mut Wfe::attempts(u32::MAX)).expect("the owner releases it"));
        }
        member.barrier();
    }
}

fn bounded_attempts(member: &mut Member<'_>, rounds: u32) {
    let (lock, region) = (member.lock(), member.region());
    let recoveries = region.recoveries();
    let holder =
        member.is_first().then(|| lock.try_lock().expect("no call in progress").expect("free"));
    member.barrier();
    if !member.is_first() {
        let errors =
            [lock.lock(&mut Spin::attempts(rounds)).err(), lock.lock(&mut Wfe::attempts(8)).err()];
        for error in errors {
            let Some(Error::Busy { seen }) = error else { panic!("not busy but {error:?}") };
            assert!(seen.is_owned_by(Member::token(0)), "it names the owner");
        }
    }
    let all_have_given_up = member.arrive();
    member.until("the others have given up", || {
        wait::send_event(); // as a timer would: waiters by `wfe` count events
        member.all_at(all_have_given_up)
    });
    drop(holder);
    member.barrier();
    assert_eq!(region.recoveries(), recoveries, "a living owner was taken for dead");
    drop(lock.lock(&mut member.patience()).expect("the owner releases it"));
    member.barrier();
}

/// Uses the handle during its own wait, as an interrupting task would.
struct Reenters<'l, 'a, W>(&'l RegionLock<'a>, W);

impl<W: Wait> Wait for Reenters<'_, '_, W> {
    fn wait(&mut self, contention: &mut WaitContext<'_>) -> WaitAction {
        assert!(matches!(self.0.try_lock(), Err(Error::InUse)), "two tasks share one hold");
        assert_eq!(self.0.release(), Err(Error::InUse));
        assert!(!self.0.is_held(), "another member holds the lock");
        self.1.wait(contention)
    }
}

fn reentrant_waits(member: &mut Member<'_>, rounds: u32) {
    let (rounds, lock, ledger) = (rounds / 4, member.lock(), &member.arena.ledger);
    let recoveries = member.region().recoveries();
    if member.is_first() {
        ledger.clear();
    }
    member.barrier();
    for _ in 0..rounds {
        let guard = lock.lock(&mut Reenters(&lock, member.patience()));
        let guard = guard.expect("the owner releases it");
        assert!(!guard.owner_died(), "it recovered the lock from itself");
        ledger.visit(member.index());
        drop(guard);
    }
    member.barrier();
    assert_eq!(
        ledger.tally(),
        Tally { visits: rounds.wrapping_mul(member.members()), torn: false }
    );
    assert_eq!(member.region().recoveries(), recoveries, "a living owner was taken for dead");
    member.barrier();
}

fn owner_restarts(member: &mut Member<'_>, _rounds: u32) {
    let (lock, region) = (member.lock(), member.region());
    let recoveries = region.recoveries();
    if member.is_first() {
        // As by a reset: the word stays, the handle is lost.
        core::mem::forget(lock.try_lock().expect("no call in progress").expect("free"));
    }
    member.barrier();
    assert!(region.word().is_owned_by(Member::token(0)));
    member.barrier();
    if member.is_first() {
        let restarted = member.lock();
        let guard = restarted
            .try_lock()
            .expect("no call in progress")
            .expect("its own hold from before the reset");
        assert!(guard.owner_died(), "it learns of the death");
    } else {
        let guard = lock.lock(&mut member.patience()).expect("the restarted owner releases it");
        assert!(guard.owner_died(), "so does every owner until the data is declared consistent");
    }
    member.barrier();
    assert_eq!(region.recoveries(), recoveries + 1);
    let again = member.lock(); // the first member's old handle is lost: it still counts a hold
    if member.is_first() {
        let guard = again.try_lock().expect("no call in progress").expect("free");
        guard.declare_consistent().expect("held");
    }
    member.barrier();
    let guard = again.lock(&mut member.patience()).expect("the owner releases it");
    assert!(!guard.owner_died(), "declared consistent");
    drop(guard);
    member.barrier();
}
