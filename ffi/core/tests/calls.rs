//! Tests every function of the header as C calls it.

#![allow(unsafe_code, reason = "calls functions for C")]

mod common;

use core::ffi::c_void;
use core::ptr::{from_mut, null, null_mut};

use common::{FUNCTIONS, Memory, User, WAITERS, acquire_spinning, described, inspect};
use shmlock_core_c::acquire::{WaitContext, shmlock_core_set_waiters, shmlock_core_try_acquire};
use shmlock_core_c::attach::{shmlock_core_check, shmlock_core_detach};
use shmlock_core_c::handle::Handle;
use shmlock_core_c::hold::{shmlock_core_declare_consistent, shmlock_core_release};
use shmlock_core_c::record::Record;
use shmlock_core_c::status::Status;

#[test]
fn checking_untouched_memory_does_not_claim_it() {
    let memory = Memory::zeroed();
    // SAFETY: 128 bytes of atomics.
    assert_eq!(unsafe { shmlock_core_check(memory.address(), 128) }, Status::Ok);
    assert_eq!(inspect(&memory).map(|holder| holder.token), Ok(0));
    assert_eq!(memory.words(), vec![0; 33]);
    drop(User::of(&memory, 1));
    assert_eq!(memory.get(8).to_le_bytes(), *b"SHL\x01");
}

#[test]
fn holds_nest_and_exclude_others() {
    let memory = Memory::zeroed();
    let (mut one, mut two) = (User::of(&memory, 1), User::of(&memory, 2));
    assert_eq!(one.call(shmlock_core_release), Status::NotHeld);
    assert_eq!(one.call(shmlock_core_try_acquire), Status::Ok);
    assert_eq!(one.call(acquire_spinning), Status::Ok);
    assert_eq!((one.fencing_token(), two.fencing_token()), (Ok(1), Err(Status::NotHeld)));
    assert_eq!(
        (two.call(shmlock_core_try_acquire), two.call(acquire_spinning)),
        (Status::Busy, Status::Busy)
    );
    assert_eq!(one.call(shmlock_core_release), Status::Ok);
    assert!(one.is_held() && !two.is_held());
    assert_eq!(one.call(shmlock_core_release), Status::Ok);
    assert_eq!(two.call(shmlock_core_try_acquire), Status::Ok);
    assert_eq!(two.fencing_token(), Ok(2));
}

#[test]
fn detaching_releases_every_hold() {
    let memory = Memory::zeroed();
    let mut user = User::of(&memory, 1);
    for _ in 0..3 {
        assert_eq!(user.call(shmlock_core_try_acquire), Status::Ok);
    }
    assert_eq!(user.call(shmlock_core_detach), Status::Ok);
    assert_eq!(memory.get(0), 0);
}

/// What the callback below records.
#[derive(Default)]
struct Waited {
    /// The owner and the attempt of each call.
    calls: Vec<(u32, u32)>,
    enough: usize,
    handle: Option<*mut Handle>,
    results: Vec<Status>,
    value: u32,
}

/// Gives up after `enough` calls. With a handle, makes allowed and forbidden calls.
unsafe extern "C" fn wait(context: *mut c_void, contention: *mut WaitContext) -> i32 {
    // SAFETY: the test passes its own `Waited`, and does not use it during the call.
    let waited = unsafe { &mut *context.cast::<Waited>() };
    // SAFETY: the callback's argument.
    let shown = unsafe { &*contention };
    waited.calls.push((shown.owner, shown.attempt));
    if let Some(handle) = waited.handle {
        // SAFETY: a handle of this thread, during another call: this is the test.
        waited.results.extend(FUNCTIONS.map(|function| unsafe { function(handle) }));
        let mut value = 0;
        // SAFETY: the callback's argument, and a `u32`.
        waited.results.push(unsafe { shmlock_core_set_waiters(contention, &raw mut value) });
        waited.value = value;
        // SAFETY: refused.
        waited.results.push(unsafe { shmlock_core_set_waiters(null_mut(), &raw mut value) });
        // SAFETY: refused.
        waited.results.push(unsafe { shmlock_core_set_waiters(contention, null_mut()) });
    }
    i32::from(waited.calls.len() >= waited.enough)
}

#[test]
fn a_wait_callback_is_called_at_most_as_often_as_allowed_and_can_give_up_earlier() {
    let memory = Memory::zeroed();
    let (mut one, mut two) = (User::of(&memory, 1), User::of(&memory, 2));
    assert_eq!(one.call(shmlock_core_try_acquire), Status::Ok);
    for (waits, enough, calls) in [(0, 9, 0), (1, 9, 1), (5, 9, 5), (5, 2, 2)] {
        let mut waited = Waited { enough, ..Waited::default() };
        assert_eq!(two.acquire(waits, Some(wait), from_mut(&mut waited).cast()), Status::Busy);
        assert_eq!(waited.calls, (0..calls).map(|attempt| (1, attempt)).collect::<Vec<_>>());
        assert!(!two.owes_wake());
    }
}

#[test]
fn a_callback_may_set_waiters_and_may_not_use_the_handle_that_waits() {
    let memory = Memory::zeroed();
    let (mut one, mut two) = (User::of(&memory, 1), User::of(&memory, 2));
    assert_eq!(one.call(shmlock_core_try_acquire), Status::Ok);
    let mut waited = Waited { enough: 1, handle: Some(two.raw()), ..Waited::default() };
    assert_eq!(two.acquire(9, Some(wait), from_mut(&mut waited).cast()), Status::Busy);
    let mut expected = vec![Status::InUse; FUNCTIONS.len()];
    expected.extend([Status::Ok, Status::Null, Status::Null]);
    assert_eq!(waited.results, expected);
    assert_eq!((waited.value, memory.get(0)), (1 | WAITERS, 1 | WAITERS));
    assert!(!two.owes_wake());
    assert_eq!(one.call(shmlock_core_release), Status::Ok);
    assert!(one.owes_wake());
    assert_eq!(two.call(shmlock_core_try_acquire), Status::Ok, "the handle is usable again");
}

#[test]
fn a_proven_death_gives_the_lock_and_is_reported_until_the_data_is_declared_consistent() {
    let memory = Memory::zeroed();
    let mut dead = User::of(&memory, 1);
    assert_eq!(dead.call(shmlock_core_try_acquire), Status::Ok);
    let mut successor = User::of(&memory, 2);
    for no_token in [0, 1 << 30, u32::MAX] {
        assert_eq!(successor.take_over(no_token), Status::BadToken);
    }
    assert_eq!(successor.take_over(3), Status::Busy, "another owner holds it");
    assert_eq!(memory.get(0), 1);
    assert_eq!(successor.take_over(1), Status::OwnerDied);
    assert_eq!(
        inspect(&memory).map(|holder| (holder.token, holder.recoveries, holder.owner_died)),
        Ok((2, 1, true))
    );
    assert_eq!(dead.call(shmlock_core_release), Status::Overwritten);
    assert_eq!(successor.call(shmlock_core_release), Status::Ok);
    assert_eq!(successor.call(shmlock_core_try_acquire), Status::OwnerDied);
    assert_eq!(successor.call(shmlock_core_declare_consistent), Status::Ok);
    assert_eq!(successor.call(shmlock_core_release), Status::Ok);
    assert_eq!(successor.take_over(1), Status::Ok, "free: acquired as by try_acquire");
}

#[test]
fn a_contender_that_restarts_recovers_the_lock_from_itself() {
    let memory = Memory::zeroed();
    // The handle is dropped without a release, as by a reset.
    assert_eq!(User::of(&memory, 1).call(shmlock_core_try_acquire), Status::Ok);
    assert_eq!(User::of(&memory, 2).call(shmlock_core_try_acquire), Status::Busy);
    assert_eq!(User::of(&memory, 1).call(shmlock_core_try_acquire), Status::OwnerDied);
}

#[test]
fn a_record_is_read_as_it_was_written_and_can_be_removed() {
    let memory = Memory::zeroed();
    let mut user = User::of(&memory, 1);
    let mut longest = described(&[b'x'; 63]);
    longest.uuid = core::array::from_fn(|index| u8::try_from(index).expect("small"));
    for record in
        [described(b"calibrating"), longest, described("größer".as_bytes()), described(b"")]
    {
        assert_eq!(user.set_record(&raw const record), Status::Ok);
        assert_eq!(user.call(shmlock_core_try_acquire), Status::Ok);
        let holder = inspect(&memory).expect("a lock");
        assert_eq!((holder.token, holder.recorded, holder.record), (1, true, record));
        assert_eq!(user.call(shmlock_core_release), Status::Ok);
    }
    assert_eq!(inspect(&memory).map(|holder| (holder.token, holder.recorded)), Ok((0, false)));
    assert_eq!(user.set_record(null()), Status::Ok);
    assert_eq!(user.call(shmlock_core_try_acquire), Status::Ok);
    let nothing =
        Record { since: 0, pid: 0, pid_namespace: 0, uuid: [0; 16], description: [0; 64] };
    assert_eq!(inspect(&memory).map(|holder| (holder.token, holder.record)), Ok((1, nothing)));
}
