//! Tests the shortest path of `RegionLock`: that it is left where its shortcuts would lie. They are
//! the count that the handle stored last, and the flags of the last acquisition and release.

mod common;

use common::records::{SEQUENCE, derived};
use common::{DIED, RawMemory, WAITERS, WaitBy, number, take};
use shmlock_core::wait::{Spin, WaitAction, WaitContext};
use shmlock_core::{Error, RegionLock};

const GENERATION: usize = 4;
const GENERATION_HIGH: usize = 48;
const ME: u32 = 1;

fn lock(memory: &RawMemory, token: u16) -> RegionLock<'_> {
    RegionLock::new(memory.region(), number(token))
}

fn fencing_tokens(lock: &RegionLock<'_>, acquisitions: usize) -> Vec<u64> {
    let next = || take(lock).fencing_token();
    std::iter::repeat_with(next).take(acquisitions).collect()
}

#[test]
fn the_count_carries_into_its_high_half_while_one_handle_acquires_alone() {
    let memory = RawMemory::zeroed();
    let lock = lock(&memory, 1);
    drop(take(&lock));
    memory.set(GENERATION, u32::MAX - 3);
    memory.set(GENERATION_HIGH, 6);
    let expected = [0x6_FFFF_FFFD, 0x6_FFFF_FFFE, 0x6_FFFF_FFFF, 0x7_0000_0000, 0x7_0000_0001];
    assert_eq!(fencing_tokens(&lock, 5), expected);
}

#[test]
fn a_new_handle_counts_on_from_any_count() {
    for (high, low) in [(0, 0), (0, 1), (6, u32::MAX - 1), (6, u32::MAX)] {
        let memory = RawMemory::zeroed();
        memory.set(GENERATION, low);
        memory.set(GENERATION_HIGH, high);
        let next = (u64::from(high) << 32 | u64::from(low)) + 1;
        assert_eq!(fencing_tokens(&lock(&memory, 1), 3), [next, next + 1, next + 2]);
    }
}

#[test]
fn handles_that_take_turns_count_each_acquisition_once() {
    let memory = RawMemory::zeroed();
    let (one, two) = (lock(&memory, 1), lock(&memory, 2));
    let turns = [&one, &one, &two, &one, &two, &two, &two, &one];
    let counted: Vec<_> = turns.map(|lock| take(lock).fencing_token()).into();
    assert_eq!(counted, (1..=8).collect::<Vec<_>>());
}

#[test]
fn a_record_that_was_replaced_between_two_holds_is_written_at_the_second() {
    let memory = RawMemory::zeroed();
    let mut lock = lock(&memory, 1).with_record(derived(0).1);
    drop(take(&lock));
    drop(take(&lock));
    assert_eq!(memory.get(SEQUENCE), 2, "written once");
    lock.set_record(Some(derived(1).1));
    let _guard = take(&lock);
    assert_eq!(lock.holder().expect("held").record, Some(derived(1).1));
}

#[test]
fn an_owner_that_died_is_not_reported_after_the_word_has_forgotten_it() {
    let memory = RawMemory::zeroed();
    let lock = lock(&memory, 1);
    drop(take(&lock));
    memory.set(0, DIED);
    let guard = take(&lock);
    assert!(guard.owner_died());
    memory.set(0, ME); // against the rules: only the owner clears DIED
    drop(guard);
    let guard = take(&lock);
    assert!(!guard.owner_died());
    drop(guard);
    assert!(!lock.owner_died());
}

#[test]
fn an_owner_that_died_is_reported_until_the_data_is_declared_consistent() {
    let memory = RawMemory::zeroed();
    let lock = lock(&memory, 1);
    drop(take(&lock));
    memory.set(0, DIED);
    for _ in 0..3 {
        assert!(take(&lock).owner_died());
    }
    take(&lock).declare_consistent().expect("held");
    assert!(!take(&lock).owner_died());
}

#[test]
fn an_owed_wake_is_reported_until_the_next_release() {
    let memory = RawMemory::zeroed();
    let lock = lock(&memory, 1);
    let guard = take(&lock);
    memory.set(0, ME | WAITERS);
    drop(guard);
    assert!(lock.owes_wake());
    let guard = take(&lock);
    assert!(lock.owes_wake());
    drop(guard);
    assert!(!lock.owes_wake());
}

#[test]
fn the_flags_of_a_free_word_are_kept_by_an_acquisition_that_nothing_else_disturbs() {
    for flags in [0, DIED, WAITERS, DIED | WAITERS] {
        let memory = RawMemory::zeroed();
        let lock = lock(&memory, 1);
        drop(take(&lock));
        memory.set(0, flags);
        let guard = take(&lock);
        assert_eq!((memory.get(0), guard.owner_died()), (ME | flags, flags & DIED != 0));
        assert_eq!(guard.release(), Ok(()));
        assert_eq!((memory.get(0), lock.owes_wake()), (flags & DIED, flags & WAITERS != 0));
        assert_eq!(memory.region().contended(), 0);
    }
}

#[test]
fn an_acquisition_counts_as_contended_if_it_waited_or_took_the_lock_over() {
    let memory = RawMemory::zeroed();
    let (one, two) = (lock(&memory, 1), lock(&memory, 2));
    let guard = std::cell::RefCell::new(Some(take(&one)));
    let mut until_released = WaitBy(|_: &mut WaitContext<'_>| {
        guard.borrow_mut().take();
        WaitAction::Retry
    });
    drop(two.lock(&mut until_released).expect("released"));
    assert_eq!(memory.region().contended(), 1);
    drop([take(&one), take(&one)]);
    drop(take(&two));
    assert_eq!(memory.region().contended(), 1);
    memory.set(0, ME);
    drop(take(&one));
    assert_eq!(memory.region().contended(), 2);
}

#[test]
fn a_stale_word_of_this_token_is_taken_over_after_undisturbed_acquisitions_too() {
    for stale in [ME, ME | DIED, ME | WAITERS] {
        let memory = RawMemory::zeroed();
        let lock = lock(&memory, 1);
        drop(take(&lock));
        memory.set(0, stale);
        let guard = take(&lock);
        assert!(guard.owner_died());
        assert_eq!((memory.region().recoveries(), guard.fencing_token()), (1, 2));
    }
}

#[test]
fn an_overwritten_word_is_reported_by_a_release_of_either_kind_and_left_alone() {
    for foreign in [0, 2, DIED, WAITERS | 2] {
        let memory = RawMemory::zeroed();
        let lock = lock(&memory, 1);
        for _ in 0..2 {
            let found = Err(Error::Overwritten { found: shmlock_core::Word::from_bits(foreign) });
            let guard = take(&lock);
            memory.set(0, foreign);
            assert_eq!((guard.release(), memory.get(0)), (found, foreign));
            memory.set(0, 0);
            lock.acquire(&mut Spin::attempts(0)).expect("free");
            memory.set(0, foreign);
            assert_eq!((lock.release(), memory.get(0)), (found, foreign));
            assert_eq!(lock.release(), Err(Error::NotHeld));
            memory.set(0, 0);
        }
    }
}
