//! The bodies, in the order in which they run. Each leaves the lock free and unmarked.

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
    /// What it shows, as a sentence.
    pub name: &'static str,
    /// Runs it; the number says how often to do what is done over and over.
    pub run: fn(&mut Member<'_>, u32),
}

/// All of them.
pub const BODIES: [Body; 9] = [
    Body { name: "one at a time is in the section", run: exclusion::one_at_a_time },
    Body {
        name: "with fences for the full system as well",
        run: exclusion::one_at_a_time_in_the_full_system,
    },
    Body { name: "a nested hold lets nobody in", run: nested_holds },
    Body { name: "the fencing token grows by one each time", run: fencing_tokens },
    Body { name: "each reads the record of the others", run: records },
    Body { name: "who waits by event is let in", run: waiting_by_event },
    Body { name: "a bounded wait ends while another holds", run: bounded_attempts },
    Body { name: "a wait that uses its own handle is refused", run: reentrant_waits },
    Body { name: "an owner that restarts finds itself", run: owner_restarts },
];

fn nested_holds(member: &mut Member<'_>, rounds: u32) {
    let (rounds, lock, ledger) = (rounds / 4, member.lock(), &member.arena.ledger);
    if member.leads() {
        ledger.clear();
    }
    member.barrier();
    for _ in 0..rounds {
        let outer = lock.lock(&mut member.patience()).expect("whoever has it gives it back");
        ledger.visit(member.index());
        let inner = lock.try_lock().expect("at rest").expect("ours already");
        lock.acquire(&mut Spin::attempts(0)).expect("ours already");
        drop(inner);
        lock.release().expect("acquired once by hand");
        assert!(lock.word().is_owned_by(lock.token()), "given back by an inner hold");
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
    if member.leads() {
        let guard = lock.try_lock().expect("at rest").expect("free");
        ledger.replace_last(guard.fencing_token());
    }
    member.barrier();
    for _ in 0..rounds {
        let guard = lock.lock(&mut member.patience()).expect("whoever has it gives it back");
        let now = guard.fencing_token();
        assert_eq!(now, ledger.replace_last(now) + 1, "each acquisition counts once");
    }
    member.barrier();
}

/// The record of a member; every field of it follows from the index.
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
        let guard =
            (index == member.index()).then(|| lock.try_lock().expect("at rest").expect("free"));
        member.barrier();
        let holder = lock.holder().expect("held");
        assert_eq!((holder.token, holder.record), (Member::token(index), Some(record(index))));
        member.barrier();
        drop(guard);
        member.barrier();
    }
    // And while it changes hands: a record is that of the owner it comes with, or there is none.
    for _ in 0..rounds / 16 {
        drop(lock.lock(&mut member.patience()).expect("whoever has it gives it back"));
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
            let guard = lock.lock(&mut member.patience()).expect("whoever has it gives it back");
            member.barrier();
            member.until("somebody waits", || member.members() == 1 || region.word().has_waiters());
            drop(guard); // sends the event
        } else {
            member.barrier();
            drop(lock.lock(&mut Wfe::attempts(u32::MAX)).expect("whoever has it gives it back"));
        }
        member.barrier();
    }
}

fn bounded_attempts(member: &mut Member<'_>, rounds: u32) {
    let (lock, region) = (member.lock(), member.region());
    let recoveries = region.recoveries();
    let holder = member.leads().then(|| lock.try_lock().expect("at rest").expect("free"));
    member.barrier();
    if !member.leads() {
        let errors =
            [lock.lock(&mut Spin::attempts(rounds)).err(), lock.lock(&mut Wfe::attempts(8)).err()];
        for error in errors {
            let Some(Error::Busy { seen }) = error else { panic!("not busy but {error:?}") };
            assert!(seen.is_owned_by(Member::token(0)), "says who has it");
        }
    }
    let all_have_given_up = member.arrive();
    member.until("the others have given up", || {
        wait::send_event(); // as a timer would: whoever sleeps by `wfe` counts events
        member.all_at(all_have_given_up)
    });
    drop(holder);
    member.barrier();
    assert_eq!(region.recoveries(), recoveries, "nobody was taken for dead");
    drop(lock.lock(&mut member.patience()).expect("whoever has it gives it back"));
    member.barrier();
}

/// Uses the handle that waits, as a task would that runs meanwhile.
struct Reenters<'l, 'a, W>(&'l RegionLock<'a>, W);

impl<W: Wait> Wait for Reenters<'_, '_, W> {
    fn wait(&mut self, contention: &mut WaitContext<'_>) -> WaitAction {
        assert!(matches!(self.0.try_lock(), Err(Error::InUse)), "two tasks share one hold");
        assert_eq!(self.0.release(), Err(Error::InUse));
        assert!(!self.0.is_held(), "it has just found the lock held by another");
        self.1.wait(contention)
    }
}

fn reentrant_waits(member: &mut Member<'_>, rounds: u32) {
    let (rounds, lock, ledger) = (rounds / 4, member.lock(), &member.arena.ledger);
    let recoveries = member.region().recoveries();
    if member.leads() {
        ledger.clear();
    }
    member.barrier();
    for _ in 0..rounds {
        let guard = lock.lock(&mut Reenters(&lock, member.patience()));
        let guard = guard.expect("whoever has it gives it back");
        assert!(!guard.owner_died(), "it took the lock over from itself");
        ledger.visit(member.index());
        drop(guard);
    }
    member.barrier();
    assert_eq!(
        ledger.tally(),
        Tally { visits: rounds.wrapping_mul(member.members()), torn: false }
    );
    assert_eq!(member.region().recoveries(), recoveries, "nobody was taken for dead");
    member.barrier();
}

fn owner_restarts(member: &mut Member<'_>, _rounds: u32) {
    let (lock, region) = (member.lock(), member.region());
    let recoveries = region.recoveries();
    if member.leads() {
        // A reset: the word stays, the handle's memory is gone.
        core::mem::forget(lock.try_lock().expect("at rest").expect("free"));
    }
    member.barrier();
    assert!(region.word().is_owned_by(Member::token(0)));
    member.barrier();
    if member.leads() {
        let restarted = member.lock();
        let guard = restarted.try_lock().expect("at rest").expect("its own from before");
        assert!(guard.owner_died(), "it is told");
    } else {
        let guard = lock.lock(&mut member.patience()).expect("the restarted owner gives it back");
        assert!(guard.owner_died(), "so is everybody until somebody has looked at the data");
    }
    member.barrier();
    assert_eq!(region.recoveries(), recoveries + 1);
    let again = member.lock(); // the leader's first handle is lost: it would take the lock for its own
    if member.leads() {
        let guard = again.try_lock().expect("at rest").expect("free");
        guard.declare_consistent().expect("held");
    }
    member.barrier();
    let guard = again.lock(&mut member.patience()).expect("whoever has it gives it back");
    assert!(!guard.owner_died(), "declared consistent");
    drop(guard);
    member.barrier();
}
