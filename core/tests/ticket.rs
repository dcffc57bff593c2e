//! Checks `TicketLock` as one thread sees it: exclusion, recovery, burial, misuse.

#![allow(missing_docs, reason = "not an interface")]

mod common;

use std::mem::forget;
use std::num::NonZeroU16;
use std::panic::{AssertUnwindSafe, catch_unwind};

use common::number;
use shmlock_core::contend::{AssumeAlive, Liveness};
use shmlock_core::fence::InnerShareable;
use shmlock_core::record::{Record, description};
use shmlock_core::ticket::layout::{LINE_LEN, ticket_len, ticket_magic};
use shmlock_core::wait::{Spin, Wait, WaitAction, WaitContext};
use shmlock_core::{Error, Region, TicketLock, TicketMemory, TicketRegion, Token};

type Lock<'a> = TicketLock<'a, 3>;

fn region(memory: &TicketMemory<3>) -> TicketRegion<'_, 3> {
    TicketRegion::new(memory).expect("a ticket lock")
}

fn party(memory: &TicketMemory<3>, party: u16) -> Lock<'_> {
    TicketLock::new(region(memory), number(party)).expect("one of three")
}

/// Acquires and dies inside: nothing is released.
fn die_inside(memory: &TicketMemory<3>, number: u16) {
    let lock = party(memory, number);
    forget(lock.try_lock().expect("at rest").expect("free"));
    forget(lock);
}

/// Proof that one party is dead.
struct Dead(u16);

impl Liveness for Dead {
    fn while_dead<R>(&mut self, owner: Token, act: impl FnOnce() -> R) -> Option<R> {
        (owner.get() == u32::from(self.0)).then(act)
    }
}

#[test]
fn of_three_parties_one_holds_the_lock() {
    let memory = TicketMemory::new();
    let locks = [1, 2, 3].map(|number| party(&memory, number));
    for holder in &locks {
        let guard = holder.try_lock().expect("at rest").expect("free");
        for other in &locks {
            let is_holder = other.token() == holder.token();
            assert_eq!(other.try_lock().expect("at rest").is_some(), is_holder);
            assert_eq!(other.is_held(), is_holder);
        }
        assert_eq!(region(&memory).holder().map(|holder| holder.token), Some(holder.token()));
        drop(guard);
        assert!(region(&memory).holder().is_none());
    }
    assert_eq!(region(&memory).acquisitions(), 3);
}

#[test]
fn a_wait_that_gives_up_names_the_party_in_the_way_and_leaves_no_number() {
    let memory = TicketMemory::new();
    let (one, two) = (party(&memory, 1), party(&memory, 2));
    let guard = one.try_lock().expect("at rest");
    let error = two.lock(&mut Spin::attempts(3)).map(drop).expect_err("held");
    let Error::Busy { seen } = error else { panic!("{error}") };
    assert_eq!(seen.owner(), Some(one.token()));
    assert!(!one.has_waiters());
    drop(guard);
    assert!(one.try_lock().expect("at rest").is_some());
}

#[test]
fn a_waiter_can_be_seen_and_sets_nothing() {
    struct Look<'l, 'a>(&'l Lock<'a>);
    impl Wait for Look<'_, '_> {
        fn wait(&mut self, context: &mut WaitContext<'_>) -> WaitAction {
            assert!(self.0.has_waiters() && !context.looks_free() && !context.has_waiters_hint());
            let before = context.word().load(core::sync::atomic::Ordering::Relaxed);
            assert_eq!(context.set_waiters(), Ok(context.seen()));
            assert_eq!(context.word().load(core::sync::atomic::Ordering::Relaxed), before);
            self.0.release().expect("held");
            assert!(context.looks_free());
            WaitAction::Retry
        }
    }
    let memory = TicketMemory::new();
    let (one, two) = (party(&memory, 1), party(&memory, 2));
    one.acquire(&mut Spin::attempts(0)).expect("free");
    drop(two.lock(&mut Look(&one)).expect("released meanwhile"));
    assert_eq!(region(&memory).contended(), 1);
}

#[test]
fn a_party_that_comes_back_is_told_of_its_death_and_so_are_others_until_the_data_is_consistent() {
    let memory = TicketMemory::new();
    die_inside(&memory, 2);
    assert!(party(&memory, 1).try_lock().expect("at rest").is_none());
    let back = party(&memory, 2);
    assert_eq!(back.recover(), Ok(true));
    assert_eq!(back.recover(), Ok(false));
    assert_eq!(region(&memory).recoveries(), 1);
    for number in [1, 2, 3] {
        let lock = party(&memory, number);
        let guard = lock.try_lock().expect("at rest").expect("free");
        assert!(guard.owner_died());
    }
    let guard = back.try_lock().expect("at rest").expect("free");
    guard.declare_consistent().expect("held");
    assert!(!guard.owner_died());
    drop(guard);
    assert!(!party(&memory, 3).try_lock().expect("at rest").expect("free").owner_died());
}

#[test]
fn the_first_acquisition_of_a_handle_recovers_too() {
    let memory = TicketMemory::new();
    die_inside(&memory, 2);
    let back = party(&memory, 2);
    assert!(back.try_lock().expect("at rest").expect("its own").owner_died());
}

#[test]
fn a_dead_party_is_passed_by_proof_and_its_death_counts_once() {
    let memory = TicketMemory::new();
    die_inside(&memory, 1);
    let two = party(&memory, 2);
    assert!(two.lock_or_recover(&mut Spin::attempts(2), &mut AssumeAlive).is_err());
    let guard = two.lock_or_recover(&mut Spin::attempts(2), &mut Dead(1)).expect("proven");
    assert!(guard.owner_died());
    guard.declare_consistent().expect("held");
    // It comes back while we hold the lock.
    let back = party(&memory, 1);
    assert_eq!(back.recover(), Ok(true));
    assert!(!guard.owner_died() && back.try_lock().expect("at rest").is_none());
    drop(guard);
    assert!(!back.try_lock().expect("at rest").expect("free").owner_died());
}

#[test]
fn a_buried_party_is_passed_by_all_until_it_begins_another_life() {
    let memory = TicketMemory::new();
    die_inside(&memory, 1);
    let buried = region(&memory).bury(number(1), InnerShareable, &mut AssumeAlive);
    assert_eq!(buried, Ok(false));
    assert!(party(&memory, 2).try_lock().expect("at rest").is_none());
    assert_eq!(region(&memory).bury(number(1), InnerShareable, &mut Dead(1)), Ok(true));
    assert!(region(&memory).holder().is_none());
    for number in [2, 3] {
        assert!(party(&memory, number).try_lock().expect("at rest").expect("free").owner_died());
    }
    let back = party(&memory, 1);
    let guard = back.try_lock().expect("at rest").expect("free");
    assert!(party(&memory, 2).try_lock().expect("at rest").is_none());
    assert!(guard.owner_died());
}

#[test]
fn a_burial_that_comes_late_does_not_rob_a_party_that_has_come_back() {
    struct BackMeanwhile<'m>(&'m TicketMemory<3>);
    impl Liveness for BackMeanwhile<'_> {
        fn while_dead<R>(&mut self, _owner: Token, act: impl FnOnce() -> R) -> Option<R> {
            // Dead at this moment. Then something starts it, before the burial is stored.
            die_inside(self.0, 1);
            Some(act())
        }
    }
    let memory = TicketMemory::new();
    die_inside(&memory, 1);
    assert_eq!(
        region(&memory).bury(number(1), InnerShareable, &mut BackMeanwhile(&memory)),
        Ok(true)
    );
    assert!(party(&memory, 2).try_lock().expect("at rest").is_none());
}

#[test]
fn the_record_of_a_dead_owner_is_there_to_be_read() {
    let memory = TicketMemory::new();
    let record = Record { description: description("motor").expect("short"), ..Record::default() };
    let lock = party(&memory, 3).with_record(record.clone());
    forget(lock.try_lock().expect("at rest").expect("free"));
    forget(lock);
    let holder = region(&memory).holder().expect("dead");
    assert_eq!((holder.token.get(), holder.record), (3, Some(record)));
}

#[test]
fn holds_nest_and_are_counted() {
    let memory = TicketMemory::new();
    let lock = party(&memory, 1);
    lock.acquire(&mut Spin::attempts(0)).expect("free");
    let token = lock.fencing_token().expect("held");
    let guard = lock.try_lock().expect("at rest").expect("ours");
    assert_eq!(guard.fencing_token(), token);
    lock.release().expect("the unguarded hold");
    assert_eq!(lock.release(), Err(Error::GuardsAlive { guards: 1 }));
    assert_eq!(lock.recover(), Err(Error::AlreadyHeld));
    guard.release().expect("held");
    assert_eq!(lock.release(), Err(Error::NotHeld));
    assert_eq!(lock.declare_consistent(), Err(Error::NotHeld));
    assert_eq!(lock.fencing_token(), None);
    let later = lock.try_lock().expect("at rest").expect("free").fencing_token();
    assert_eq!(later, token + 1);
}

#[test]
fn a_handle_that_is_dropped_releases_its_hold() {
    let memory = TicketMemory::new();
    party(&memory, 1).acquire(&mut Spin::attempts(0)).expect("free");
    assert!(party(&memory, 2).try_lock().expect("at rest").is_some());
}

#[test]
fn a_call_from_within_a_wait_is_refused_and_a_panic_leaves_the_line_at_rest() {
    struct Calls<'l, 'a>(&'l Lock<'a>);
    impl Wait for Calls<'_, '_> {
        fn wait(&mut self, _context: &mut WaitContext<'_>) -> WaitAction {
            assert_eq!(self.0.try_lock().map(drop), Err(Error::InUse));
            assert_eq!(self.0.recover(), Err(Error::InUse));
            assert_eq!(self.0.declare_consistent(), Err(Error::InUse));
            panic!("in a wait");
        }
    }
    let memory = TicketMemory::new();
    let (one, two) = (party(&memory, 1), party(&memory, 2));
    let guard = one.try_lock().expect("at rest").expect("free");
    catch_unwind(AssertUnwindSafe(|| two.lock(&mut Calls(&two)).map(drop))).expect_err("a panic");
    assert!(!one.has_waiters() && !two.is_held());
    drop(guard);
    assert!(!two.try_lock().expect("at rest").expect("free").owner_died());
}

#[test]
fn a_panic_in_a_wait_forgets_no_death_of_another_handle_of_the_party() {
    struct Panics;
    impl Wait for Panics {
        fn wait(&mut self, _context: &mut WaitContext<'_>) -> WaitAction {
            panic!("in a wait");
        }
    }
    let memory = TicketMemory::new();
    let (one, goes_on) = (party(&memory, 1), party(&memory, 2));
    drop(goes_on.try_lock().expect("at rest").expect("free")); // it has begun its life
    die_inside(&memory, 2);
    let guard = one.lock_or_recover(&mut Spin::attempts(9), &mut Dead(2)).expect("proof");
    assert!(guard.owner_died());
    let ended = catch_unwind(AssertUnwindSafe(|| goes_on.lock(&mut Panics).map(drop)));
    ended.expect_err("a panic");
    assert!(guard.owner_died(), "the sum stands still while the lock is held");
    guard.release().expect("held");
    assert!(goes_on.try_lock().expect("at rest").expect("free").owner_died());
}

#[test]
fn a_dead_owner_is_named_whenever_no_other_party_is_inside() {
    let memory = TicketMemory::new();
    let named = || region(&memory).holder().map(|holder| holder.token.get());
    die_inside(&memory, 2);
    let one = party(&memory, 1);
    let guard = one.lock_or_recover(&mut Spin::attempts(9), &mut Dead(2)).expect("proof");
    guard.declare_consistent().expect("held");
    assert_eq!(named(), Some(1));
    drop(guard);
    assert_eq!(named(), Some(2)); // others wait for it, unless they have proof
    region(&memory).bury(number(2), InnerShareable, &mut Dead(2)).expect("one of three");
    assert_eq!(named(), None);
}

#[test]
fn a_death_is_seen_from_outside_until_the_data_is_declared_consistent() {
    let memory = TicketMemory::new();
    let died = || region(&memory).owner_died();
    let one = party(&memory, 1);
    let guard = one.try_lock().expect("at rest").expect("free");
    assert!(!died(), "an owner that lives");
    drop(guard);
    die_inside(&memory, 2);
    assert!(!died(), "the party that is named may live");
    let guard = one.lock_or_recover(&mut Spin::attempts(9), &mut Dead(2)).expect("proof");
    assert!(died());
    guard.declare_consistent().expect("held");
    assert!(!died());
    drop(guard);
    assert!(!died(), "the dead party is named again, and its death is declared");
    die_inside(&memory, 2);
    region(&memory).bury(number(2), InnerShareable, &mut Dead(2)).expect("one of three");
    assert!(died(), "no party is named");
    let _back = party(&memory, 2).recover().expect("at rest");
    assert!(died(), "counted");
    one.try_lock().expect("at rest").expect("free").declare_consistent().expect("held");
    assert!(!died());
}

#[test]
fn memory_without_such_a_lock_is_refused_and_not_written_to() {
    let memory = TicketMemory::<3>::new();
    let wrong = TicketLock::new(region(&memory), number(4)).map(drop);
    assert_eq!(wrong, Err(Error::NoSuchParty { party: 4, parties: 3 }));
    let burial = region(&memory).bury(NonZeroU16::MAX, InnerShareable, &mut Dead(1));
    assert_eq!(burial, Err(Error::NoSuchParty { party: u16::MAX, parties: 3 }));
    for error in [wrong.expect_err("refused"), Error::OtherParties { found: 5 }] {
        assert!(error.to_string().contains("use "), "{error}");
    }
}

#[test]
fn the_layout_is_a_contract() {
    assert_eq!((LINE_LEN, ticket_len(2), ticket_len(8)), (64, 256, 640));
    assert_eq!(ticket_magic(3).to_le_bytes(), [b'T', b'K', 3, 1]);
    assert_eq!(size_of::<TicketMemory<2>>(), 256);
    assert_eq!(align_of::<TicketMemory<2>>(), 64);
    let memory = shmlock_core::RegionMemory::new();
    assert!(Region::new(&memory).is_ok());
}
