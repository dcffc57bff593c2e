//! Tests `RegionLock` after a death: restarts, proofs of death, and the DIED flag until the data is
//! declared consistent.

mod common;

use common::records::derived;
use common::{DIED, FLAGS, ProofBy, RawMemory, WAITERS, number, probing, take, token};
use shmlock_core::contend::AssumeAlive;
use shmlock_core::wait::{Spin, Wfe};
use shmlock_core::{Error, RegionLock, Token, Word};

fn lock(memory: &RawMemory, token: u16) -> RegionLock<'_> {
    RegionLock::new(memory.region(), number(token))
}

/// Returns a lock whose owner, 1, died in its critical section.
fn orphaned() -> RawMemory {
    let memory = RawMemory::zeroed();
    core::mem::forget(take(&lock(&memory, 1)));
    assert_eq!(memory.get(0), 1);
    memory
}

fn unasked(_: Token) -> bool {
    unreachable!("no proof is needed")
}

/// Returns `true` if an acquisition by this token is told of a death.
fn told(memory: &RawMemory, token: u16) -> bool {
    take(&lock(memory, token)).owner_died()
}

#[test]
fn a_core_that_restarts_recovers_its_own_lock() {
    for flags in FLAGS {
        let memory = orphaned();
        memory.set(0, 1 | flags);
        let restarted = lock(&memory, 1);
        let guard = take(&restarted);
        assert!(guard.owner_died());
        assert_eq!(memory.get(0), 1 | WAITERS | DIED);
        assert_eq!((guard.fencing_token(), memory.region().recoveries()), (2, 1));
        drop(guard);
        assert_eq!(memory.get(0), DIED);
    }
}

#[test]
fn a_restarted_core_replaces_its_record_from_before() {
    let memory = RawMemory::zeroed();
    let [(_, former), (_, present)] = [derived(0), derived(2)];
    core::mem::forget(take(&lock(&memory, 1).with_record(former.clone())));
    assert_eq!(lock(&memory, 2).holder().expect("held").record, Some(former));
    let restarted = lock(&memory, 1).with_record(present.clone());
    let _guard = take(&restarted);
    assert_eq!(restarted.holder().expect("held").record, Some(present));
}

#[test]
fn a_proof_of_death_gives_the_lock_and_sets_died() {
    let memory = orphaned();
    let lock = lock(&memory, 2);
    let mut proofs = ProofBy(|owner| owner == token(1));
    let guard = lock.lock_or_recover(&mut Spin::attempts(10), &mut proofs).expect("dead");
    assert!(guard.owner_died());
    assert_eq!((memory.get(0), memory.region().recoveries()), (2 | WAITERS | DIED, 1));
    let inner = take(&lock);
    assert!(inner.owner_died(), "DIED is of the data, whichever guard asks");
}

#[test]
fn no_owner_is_probed_if_the_lock_is_free_or_held_by_the_handle() {
    let memory = RawMemory::zeroed();
    let lock = lock(&memory, 1);
    let _outer = lock.lock_or_recover(&mut Spin::attempts(0), &mut ProofBy(unasked)).expect("free");
    let _inner = lock.lock_or_recover(&mut Spin::attempts(0), &mut ProofBy(unasked)).expect("ours");

    let memory = orphaned();
    let restarted = RegionLock::new(memory.region(), number(1));
    let _guard = restarted
        .lock_or_recover(&mut Spin::attempts(0), &mut ProofBy(unasked))
        .expect("ours from before");
}

#[test]
fn a_proof_that_comes_after_the_release_makes_an_ordinary_acquisition() {
    let memory = orphaned();
    let lock = lock(&memory, 2);
    let mut proofs = ProofBy(|_| {
        memory.set(0, 0);
        true
    });
    let guard = lock.lock_or_recover(&mut Spin::attempts(10), &mut proofs).expect("free");
    assert!(!guard.owner_died());
    assert_eq!((memory.get(0), memory.region().recoveries()), (2, 0));
}

#[test]
fn a_proof_of_death_of_one_owner_does_not_rob_the_next() {
    let memory = orphaned();
    let mut proofs = ProofBy(|owner| {
        memory.set(0, 3);
        owner == token(1)
    });
    let lock = lock(&memory, 2);
    let robbed = lock.lock_or_recover(&mut Wfe::attempts(10), &mut proofs);
    assert!(matches!(robbed, Err(Error::Busy { seen }) if seen.is_owned_by(token(3))));
    assert_eq!(memory.region().recoveries(), 0);
}

#[test]
fn without_a_proof_no_owner_is_robbed() {
    let memory = orphaned();
    let lock = lock(&memory, 2);
    let seen = Word::from_bits(1);
    assert_eq!(lock.acquire(&mut probing(1_000)), Err(Error::Busy { seen }));
    assert_eq!(lock.lock(&mut Spin::attempts(1_000)).err(), Some(Error::Busy { seen }));
    let never = lock.lock_or_recover(&mut Wfe::attempts(1_000), &mut AssumeAlive);
    assert_eq!(never.err(), Some(Error::Busy { seen: seen.with_waiters() }));
    assert_eq!((memory.get(0), memory.region().recoveries()), (1 | WAITERS, 0));
}

#[test]
fn every_owner_is_told_of_a_death_until_the_data_is_declared_consistent() {
    let memory = orphaned();
    assert_eq!([1, 2, 3, 1].map(|token| told(&memory, token)), [true; 4]);
    assert_eq!(memory.get(0), DIED);

    let repairer = lock(&memory, 2);
    let (outer, inner) = (take(&repairer), take(&repairer));
    assert!(outer.owner_died() && inner.owner_died());
    assert_eq!(inner.declare_consistent(), Ok(()));
    assert!(
        !outer.owner_died() && !inner.owner_died(),
        "DIED is of the data, whichever guard declared"
    );
    assert_eq!(memory.get(0), 2);
    drop((outer, inner));
    assert_eq!([1, 2, 3, 1].map(|token| told(&memory, token)), [false; 4]);
    assert_eq!(memory.get(0), 0);
}

#[test]
fn a_declaration_keeps_waiters() {
    let memory = RawMemory::zeroed();
    memory.set(0, WAITERS | DIED);
    let lock = lock(&memory, 1);
    lock.acquire(&mut Spin::attempts(0)).expect("free");
    assert_eq!(lock.declare_consistent(), Ok(()));
    assert_eq!(lock.declare_consistent(), Ok(()), "declaring twice is harmless");
    assert_eq!(memory.get(0), 1 | WAITERS);
}

#[test]
fn a_handle_is_not_told_of_a_death_that_was_declared_by_another() {
    let memory = orphaned();
    let first = lock(&memory, 1);
    assert!(take(&first).owner_died());
    take(&lock(&memory, 2)).declare_consistent().expect("ours");
    assert!(!take(&first).owner_died());
}

#[test]
fn a_record_that_a_dead_successor_began_is_written_again() {
    let memory = RawMemory::zeroed();
    let (_, record) = derived(0);
    let lock = lock(&memory, 1).with_record(record.clone());
    drop(take(&lock));
    // Another owner dies between the first two stores of its record: the sequence is odd, and the
    // token is still that of `lock`.
    memory.set(0, 2);
    memory.set(common::records::SEQUENCE, memory.get(common::records::SEQUENCE) + 1);
    let guard = lock.lock_or_recover(&mut Spin::attempts(1), &mut ProofBy(|_| true)).expect("dead");
    assert_eq!(lock.holder().expect("held").record, Some(record));
    drop(guard);
}

#[test]
fn a_new_record_of_a_handle_replaces_its_old_one() {
    let memory = RawMemory::zeroed();
    let [(_, former), (_, present)] = [derived(0), derived(2)];
    let lock = lock(&memory, 1).with_record(former);
    drop(take(&lock));
    let lock = lock.with_record(present.clone());
    let _guard = take(&lock);
    assert_eq!(lock.holder().expect("held").record, Some(present));
}
