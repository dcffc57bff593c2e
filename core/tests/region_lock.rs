//! Tests `RegionLock`: exclusion, nesting, bounded waits, failing releases, the record, and which
//! types may cross threads.

#![allow(unsafe_code, reason = "data that only the lock protects")]

mod common;

use std::sync::Barrier;
use std::thread;

use common::records::{RECORD_TOKEN, SEQUENCE, derived};
use common::{
    DIED, Protected, RawMemory, WAITERS, WaitBy, is_refused, number, patient, rounds, take,
};
use shmlock_core::contend::AssumeAlive;
use shmlock_core::fence::{FullSystem, InnerShareable};
use shmlock_core::wait::{Spin, Wait, WaitAction, WaitContext, Wfe};
use shmlock_core::{
    Error, Fence, FenceScope, Record, Region, RegionGuard, RegionLock, RegionMemory, Word,
};

fn lock(memory: &RawMemory, token: u16) -> RegionLock<'_> {
    RegionLock::new(memory.region(), number(token))
}

/// The offset of the count of contended acquisitions.
const CONTENDED: usize = 60;

fn busy(bits: u32) -> Error {
    Error::Busy { seen: Word::from_bits(bits) }
}

/// Waits for a lock that 1 holds; returns the error.
fn gave_up(wait: &mut impl Wait) -> Error {
    let memory = RawMemory::zeroed();
    let (holder, contender) = (lock(&memory, 1), lock(&memory, 2));
    let _guard = take(&holder);
    contender.lock(wait).expect_err("held")
}

fn sections_exclude_each_other<F: Fence + Send>(fence: F) {
    const SECTIONS: u32 = rounds(20_000);
    let (memory, sections, newest) = (RawMemory::zeroed(), Protected::zero(), Protected::zero());
    let (region, start) = (memory.region(), Barrier::new(4));
    thread::scope(|scope| {
        for token in 1..=4 {
            let (start, sections, newest) = (&start, &sections, &newest);
            scope.spawn(move || {
                start.wait();
                let lock = RegionLock::with_fence(region, number(token), fence);
                for _ in 0..SECTIONS {
                    let guard = lock.lock(&mut patient()).expect("patient");
                    // SAFETY:
                    // - `guard` holds the lock.
                    unsafe { sections.update(|before| before + 1) };
                    // SAFETY:
                    // - `guard` holds the lock.
                    let before = unsafe { newest.update(|_| guard.fencing_token()) };
                    assert!(before < guard.fencing_token(), "the fencing token grows");
                    assert!(!guard.owner_died());
                }
            });
        }
    });
    assert_eq!([sections, newest].map(Protected::into_inner), [4 * u64::from(SECTIONS); 2]);
    assert!(region.word().is_free());
}

#[test]
fn sections_of_threads_exclude_each_other_under_each_fence() {
    sections_exclude_each_other(InnerShareable);
    sections_exclude_each_other(FullSystem);
    sections_exclude_each_other(FenceScope::FullSystem);
}

/// Runs eight steps in one order, two bits each, against a model of two counters.
fn nest(memory: &RawMemory, order: u32) {
    let (lock, rival) = (lock(memory, 1), lock(memory, 2));
    let (mut guards, mut bare) = (Vec::new(), 0_u32);
    for step in (0..8).map(|index| order >> (2 * index) & 3) {
        match step {
            0 => guards.push(take(&lock)),
            1 => {
                lock.acquire(&mut Spin::attempts(0)).expect("ours or free");
                bare += 1;
            }
            2 => drop(guards.pop()),
            _ if bare > 0 => {
                assert_eq!(lock.release(), Ok(()));
                bare -= 1;
            }
            _ if guards.is_empty() => assert_eq!(lock.release(), Err(Error::NotHeld)),
            _ => {
                let guards = u32::try_from(guards.len()).expect("few");
                assert_eq!(lock.release(), Err(Error::GuardsAlive { guards }));
            }
        }
        let held = bare > 0 || !guards.is_empty();
        assert_eq!(lock.is_held(), held, "after {step} of {order:#x}");
        assert_eq!(lock.word().bits(), u32::from(held));
        assert_eq!(is_refused(&rival), held);
    }
}

#[test]
fn guards_and_acquires_nest_in_every_order() {
    let memory = RawMemory::zeroed();
    for order in 0..rounds(0x1_0000) {
        memory.set(0, 0);
        nest(&memory, order);
    }
}

#[test]
fn a_nested_hold_is_the_same_acquisition() {
    let memory = RawMemory::zeroed();
    let lock = lock(&memory, 1);
    let outer = take(&lock);
    let inner = lock.lock(&mut Spin::attempts(0)).expect("ours");
    assert_eq!((outer.fencing_token(), inner.fencing_token()), (1, 1));
    drop((outer, inner));
    assert_eq!(take(&lock).fencing_token(), 2);
}

#[test]
fn a_dropped_handle_releases_what_it_acquired_and_not_what_a_leaked_guard_holds() {
    let memory = RawMemory::zeroed();
    let leaving = lock(&memory, 1);
    for _ in 0..3 {
        leaving.acquire(&mut Spin::attempts(0)).expect("free or ours");
    }
    drop(leaving);
    assert_eq!(lock(&memory, 2).word(), Word::FREE);

    let careless = lock(&memory, 1);
    std::mem::forget(take(&careless));
    drop(careless);
    assert_eq!(lock(&memory, 2).word(), Word::held_by(lock(&memory, 1).token()));
}

#[test]
fn a_try_tells_whether_it_acquired_the_lock_and_a_held_lock_is_no_error() {
    let memory = RawMemory::zeroed();
    let (one, other) = (lock(&memory, 1), lock(&memory, 2));
    assert_eq!(one.try_acquire(), Ok(true));
    assert_eq!(one.try_acquire(), Ok(true), "it nests");
    assert_eq!(other.try_acquire(), Ok(false));
    assert!(matches!(other.try_lock(), Ok(None)));
    assert_eq!((memory.get(0), memory.get(CONTENDED)), (1, 0), "a refused try changes nothing");
    assert_eq!(other.release(), Err(Error::NotHeld));
    assert_eq!([(); 2].map(|()| one.release()), [Ok(()); 2]);
    assert!(matches!(other.try_lock(), Ok(Some(_))));
    assert_eq!(memory.get(0), 0, "a guard that is not kept releases");
}

#[test]
fn a_way_of_waiting_may_be_chosen_at_run_time() {
    let (mut spin, mut wfe) = (Spin::attempts(9), Wfe::attempts(9));
    for (wait, word) in [(&mut spin as &mut dyn Wait, 1), (&mut wfe, 1 | WAITERS)] {
        let memory = RawMemory::zeroed();
        let (holder, contender) = (lock(&memory, 1), lock(&memory, 2));
        let guard = take(&holder);
        assert_eq!(contender.acquire(wait), Err(busy(word)));
        drop(guard);
        drop(contender.lock(wait).expect("free"));
        drop(contender.lock_or_recover(wait, &mut AssumeAlive).expect("free"));
        assert_eq!(contender.acquire_or_recover(wait, &mut AssumeAlive), Ok(()));
    }
}

#[test]
fn a_bounded_wait_ends_with_the_word_last_seen() {
    for attempts in [0, 1, 2, 1_000] {
        assert_eq!(gave_up(&mut Spin::attempts(attempts)), busy(1), "{attempts}");
    }
    assert_eq!(gave_up(&mut Wfe::attempts(0)), busy(1));
    for attempts in [1, 2, 1_000] {
        assert_eq!(gave_up(&mut Wfe::attempts(attempts)), busy(1 | WAITERS), "{attempts}");
    }
}

#[test]
fn a_release_clears_waiters() {
    let memory = RawMemory::zeroed();
    let (holder, contender) = (lock(&memory, 1), lock(&memory, 2));
    let guard = take(&holder);
    assert_eq!(contender.acquire(&mut Wfe::attempts(3)), Err(busy(1 | WAITERS)));
    assert_eq!(holder.word().bits(), 1 | WAITERS);
    assert_eq!(guard.release(), Ok(()));
    assert_eq!(holder.word(), Word::FREE);
}

#[test]
fn a_handle_that_holds_nothing_can_neither_release_nor_declare() {
    let memory = RawMemory::zeroed();
    let (holder, other) = (lock(&memory, 1), lock(&memory, 2));
    let _guard = take(&holder);
    assert_eq!(
        (other.release(), other.declare_consistent()),
        (Err(Error::NotHeld), Err(Error::NotHeld))
    );
    assert_eq!(holder.word().bits(), 1);
}

#[test]
fn an_overwritten_word_is_reported_and_left_to_whom_it_names() {
    for foreign in [0, 2, 2 | WAITERS, u32::MAX] {
        let memory = RawMemory::zeroed();
        let (lock, found) = (lock(&memory, 1), Word::from_bits(foreign));
        let overwritten = Err(Error::Overwritten { found });
        let acquired = || {
            memory.set(0, 0);
            lock.acquire(&mut Spin::attempts(0)).expect("free");
            memory.set(0, foreign);
        };
        acquired();
        assert_eq!(lock.declare_consistent(), overwritten);
        assert!(!lock.is_held(), "the word decides");
        assert_eq!(lock.release(), overwritten, "a declaration is not a release");

        memory.set(0, 0);
        let guard = take(&lock);
        memory.set(0, foreign);
        assert_eq!(guard.release(), overwritten);

        acquired();
        assert_eq!(
            lock.try_lock().err(),
            overwritten.err(),
            "it does not nest in the hold of another"
        );
        assert_eq!((lock.owner_died(), lock.fencing_token()), (false, None), "they are another's");
        assert_eq!(lock.release(), overwritten, "so does the outermost release");
        assert_eq!((lock.is_held(), lock.word()), (false, found));
    }
}

#[test]
fn a_record_is_written_when_the_lock_changes_hands_and_not_again() {
    let memory = RawMemory::zeroed();
    let [(_, first), (_, second)] = [derived(0), derived(1)];
    let (one, two) =
        (lock(&memory, 1).with_record(first.clone()), lock(&memory, 2).with_record(second.clone()));
    for (lock, record, writings) in [
        (&one, &first, 1),
        (&one, &first, 1),
        (&two, &second, 2),
        (&one, &first, 3),
        (&one, &first, 3),
    ] {
        let _guard = take(lock);
        let holder = two.holder().expect("held");
        assert_eq!((holder.token, holder.record.as_ref()), (lock.token(), Some(record)));
        assert_eq!(memory.get(SEQUENCE), 2 * writings);
    }
    assert_eq!(one.holder(), None);
}

#[test]
fn a_lock_without_a_record_writes_none() {
    let memory = RawMemory::zeroed();
    let lock = lock(&memory, 3);
    let _guard = take(&lock);
    assert_eq!((memory.get(SEQUENCE), memory.get(RECORD_TOKEN)), (0, 0));
    let holder = lock.holder().expect("held");
    assert_eq!((holder.token, holder.record), (lock.token(), None));
}

#[test]
fn a_record_that_is_set_while_the_lock_is_held_is_readable_at_once_and_can_be_removed() {
    let memory = RawMemory::zeroed();
    let [(_, first), (_, second)] = [derived(0), derived(1)];
    let (mut one, two) = (lock(&memory, 1).with_record(first), lock(&memory, 2));
    one.acquire(&mut Spin::attempts(0)).expect("free");
    one.set_record(Some(second.clone()));
    assert_eq!(two.holder().expect("held").record, Some(second));
    one.set_record(None);
    assert_eq!(two.holder().expect("held").record, Some(Record::default()));
    one.release().expect("held");
    one.set_record(Some(derived(2).1));
    assert_eq!(two.holder(), None, "a free lock has no holder");
    one.acquire(&mut Spin::attempts(0)).expect("free");
    assert_eq!(two.holder().expect("held").record, Some(derived(2).1));
}

#[test]
fn a_caller_without_a_guard_learns_as_much_as_a_guard() {
    let memory = RawMemory::zeroed();
    memory.set(0, DIED);
    let lock = lock(&memory, 1);
    assert_eq!((lock.owner_died(), lock.fencing_token()), (false, None));
    lock.acquire(&mut Spin::attempts(0)).expect("free");
    assert_eq!((lock.owner_died(), lock.fencing_token()), (true, Some(1)));
    lock.declare_consistent().expect("held");
    assert!(!lock.owner_died());
    lock.release().expect("held");
    assert_eq!((lock.owner_died(), lock.fencing_token()), (false, None));
}

#[test]
fn a_wake_is_owed_after_a_release_with_waiters_and_not_otherwise() {
    let memory = RawMemory::zeroed();
    let (holder, contender) = (lock(&memory, 1), lock(&memory, 2));
    drop(take(&holder));
    assert!(!holder.owes_wake());
    let guard = take(&holder);
    contender.lock(&mut Wfe::attempts(1)).expect_err("held");
    assert!(!contender.owes_wake(), "the holder will owe one");
    drop(guard);
    assert!(holder.owes_wake());
    drop(take(&holder));
    assert!(!holder.owes_wake());
}

#[test]
fn a_waiter_that_gives_up_on_a_free_lock_owes_the_wake_that_it_used_up() {
    let memory = RawMemory::zeroed();
    let (holder, contender) = (lock(&memory, 1), lock(&memory, 2));
    holder.acquire(&mut Spin::attempts(0)).expect("free");
    contender
        .acquire(&mut WaitBy(|context: &mut WaitContext<'_>| {
            context.set_waiters().expect("held, and no other waiter");
            holder.release().expect("held");
            WaitAction::GiveUp
        }))
        .expect_err("gave up");
    assert!(contender.owes_wake());
}

#[cfg(feature = "embedded-hal")]
#[test]
fn a_delay_waits_its_interval_after_each_attempt_and_gives_up_after_the_last() {
    struct Slept<'a>(&'a core::cell::RefCell<Vec<u32>>);
    impl embedded_hal::delay::DelayNs for Slept<'_> {
        fn delay_ns(&mut self, nanoseconds: u32) {
            self.0.borrow_mut().push(nanoseconds);
        }
    }
    for attempts in [0, 1, 3] {
        let slept = core::cell::RefCell::default();
        let mut delay = shmlock_core::wait::Delay::new(Slept(&slept), 250, attempts);
        assert_eq!(gave_up(&mut delay), busy(1));
        assert_eq!(slept.into_inner(), vec![250_000; attempts as usize]);
    }
}

/// Asserts that the type has none of the traits: with one of them, the constant is ambiguous and
/// does not compile.
macro_rules! assert_not {
    ($type:ty: $($trait:ident)+) => {$(
        const _: () = {
            trait Ambiguous<Which> {
                const OK: () = ();
            }
            impl<T: ?Sized> Ambiguous<()> for T {}
            impl<T: ?Sized + $trait> Ambiguous<u8> for T {}
            <$type as Ambiguous<_>>::OK
        };
    )+};
}

// Rust 1.85 does not count a use in a `const _` as one.
#[allow(dead_code, reason = "used at compile time only")]
const fn assert_send<T: Send>() {}
#[allow(dead_code, reason = "used at compile time only")]
const fn assert_sync<T: Sync>() {}

const _: () = assert_send::<RegionLock<'_>>();
assert_not!(RegionLock<'static>: Sync Clone);
assert_not!(RegionGuard<'static, 'static>: Send Sync Clone);
const _: () = assert_send::<Region<'_>>();
const _: () = assert_sync::<Region<'_>>();
const _: () = assert_send::<RegionMemory>();
const _: () = assert_sync::<RegionMemory>();
