//! Tests the functions of the header for the ticket lock as C calls them.

#![allow(unsafe_code, reason = "calls functions for C")]

mod common;

use core::ffi::c_void;
use core::ptr::{from_mut, null_mut};
use std::sync::atomic::Ordering::Relaxed;

use common::tickets::{FUNCTIONS, Party, Tickets};
use common::{Memory, User};
use shmlock_core_c::acquire::{WaitContext, shmlock_core_try_acquire};
use shmlock_core_c::attach::shmlock_core_attach;
use shmlock_core_c::bury::shmlock_core_ticket_bury;
use shmlock_core_c::fence_scope::SHMLOCK_CORE_FULL_SYSTEM as SCOPE;
use shmlock_core_c::status::Status;
use shmlock_core_c::ticket::{
    shmlock_core_ticket_attach, shmlock_core_ticket_begin_life, shmlock_core_ticket_detach,
};
use shmlock_core_c::ticket_acquire::shmlock_core_ticket_try_acquire;
use shmlock_core_c::ticket_handle::TicketHandle;
use shmlock_core_c::ticket_hold::{
    shmlock_core_ticket_declare_consistent, shmlock_core_ticket_fencing_token,
    shmlock_core_ticket_release,
};

#[test]
fn each_number_of_parties_excludes_all_others_and_counts() {
    for parties in 2..=8 {
        let memory = Tickets::zeroed();
        let mut all: Vec<Party> = (1..=parties).map(|party| memory.party(parties, party)).collect();
        let magic = [b'T', b'K', u8::try_from(parties).expect("few"), 1];
        assert_eq!(memory.words()[2].to_le_bytes(), magic);
        for owner in 0..all.len() {
            assert_eq!(all[owner].call(shmlock_core_ticket_try_acquire), Status::Ok);
            assert_eq!(all[owner].acquire(3, None, null_mut()), Status::Ok, "holds nest");
            for other in (0..all.len()).filter(|&other| other != owner) {
                assert_eq!(all[other].call(shmlock_core_ticket_try_acquire), Status::Busy);
                assert_eq!(all[other].acquire(3, None, null_mut()), Status::Busy);
                assert!(!all[other].is_held() && all[other].has_waiters());
                assert_eq!(all[other].fencing_token(), Err(Status::NotHeld));
            }
            assert_eq!(all[owner].fencing_token(), Ok(owner as u64 + 1));
            assert_eq!(all[owner].call(shmlock_core_ticket_begin_life), Status::AlreadyHeld);
            assert_eq!(all[owner].call(shmlock_core_ticket_release), Status::Ok);
            assert!(all[owner].is_held() && !all[owner].has_waiters());
            assert_eq!(all[owner].call(shmlock_core_ticket_release), Status::Ok);
            assert_eq!(all[owner].call(shmlock_core_ticket_release), Status::NotHeld);
            assert_eq!(all[owner].call(shmlock_core_ticket_declare_consistent), Status::NotHeld);
        }
    }
}

/// What the callback below records.
#[derive(Default)]
struct Waited {
    /// The party in the way, and the attempt of each call.
    calls: Vec<(u32, u32)>,
    enough: usize,
    results: Vec<Status>,
    handle: Option<*mut TicketHandle>,
    /// Released by the last call.
    owner: Option<*mut TicketHandle>,
}

unsafe extern "C" fn wait(context: *mut c_void, contention: *mut WaitContext) -> i32 {
    // SAFETY: the test passes its own `Waited`, and does not use it during the call.
    let waited = unsafe { &mut *context.cast::<Waited>() };
    // SAFETY: the callback's argument.
    let shown = unsafe { &*contention };
    waited.calls.push((shown.owner, shown.attempt));
    if let Some(handle) = waited.handle {
        // SAFETY: a handle of this thread, during another call: this is the test.
        waited.results.extend(FUNCTIONS.map(|function| unsafe { function(handle) }));
    }
    let is_last = waited.calls.len() >= waited.enough;
    if let (true, Some(owner)) = (is_last, waited.owner) {
        // SAFETY: another handle of this thread.
        waited.results.push(unsafe { shmlock_core_ticket_release(owner) });
        return 0;
    }
    i32::from(is_last)
}

#[test]
fn a_callback_waits_as_often_as_allowed_and_may_not_use_the_handle_that_waits() {
    let memory = Tickets::zeroed();
    let (mut one, mut two) = (memory.party(2, 1), memory.party(2, 2));
    assert_eq!(one.call(shmlock_core_ticket_try_acquire), Status::Ok);
    for (waits, enough, calls) in [(0, 9, 0), (1, 9, 1), (5, 9, 5), (5, 2, 2)] {
        let mut waited = Waited { enough, ..Waited::default() };
        assert_eq!(two.acquire(waits, Some(wait), from_mut(&mut waited).cast()), Status::Busy);
        assert_eq!(waited.calls, (0..calls).map(|attempt| (1, attempt)).collect::<Vec<_>>());
        assert!(!one.has_waiters(), "it has given up");
    }
    let (handle, owner) = (Some(two.0), Some(one.0));
    let mut waited = Waited { enough: 1, handle, owner, ..Waited::default() };
    assert_eq!(two.acquire(9, Some(wait), from_mut(&mut waited).cast()), Status::Ok);
    let mut expected = vec![Status::InUse; FUNCTIONS.len()];
    expected.push(Status::Ok);
    assert_eq!(waited.results, expected);
    assert!(two.is_held() && !one.is_held());
}

#[test]
fn a_party_that_died_inside_is_told_of_until_the_data_is_declared_consistent() {
    let memory = Tickets::zeroed();
    let mut other = memory.party(3, 1);
    assert_eq!(memory.party(3, 2).call(shmlock_core_ticket_try_acquire), Status::Ok);
    assert_eq!(other.call(shmlock_core_ticket_try_acquire), Status::Busy);
    let mut back = memory.party(3, 2);
    assert_eq!(other.call(shmlock_core_ticket_try_acquire), Status::Busy, "not begun yet");
    assert_eq!(back.call(shmlock_core_ticket_begin_life), Status::Ok);
    for _ in 0..2 {
        assert_eq!(other.call(shmlock_core_ticket_try_acquire), Status::OwnerDied);
        assert_eq!(other.call(shmlock_core_ticket_release), Status::Ok);
    }
    assert_eq!(back.call(shmlock_core_ticket_try_acquire), Status::OwnerDied);
    assert_eq!(back.call(shmlock_core_ticket_declare_consistent), Status::Ok);
    assert_eq!(back.call(shmlock_core_ticket_release), Status::Ok);
    assert_eq!(other.call(shmlock_core_ticket_try_acquire), Status::Ok);
    assert_eq!(other.call(shmlock_core_ticket_detach), Status::Ok, "it releases its holds");
    assert_eq!(back.call(shmlock_core_ticket_try_acquire), Status::Ok);
}

/// The context of the proof: the parties asked for, the answer, and a party that starts meanwhile.
struct Proof {
    asked: Vec<u32>,
    answer: bool,
    starts: Option<*mut TicketHandle>,
}

unsafe extern "C" fn is_dead(context: *mut c_void, party: u32) -> bool {
    // SAFETY: the test passes its own `Proof`, and does not use it during the call.
    let proof = unsafe { &mut *context.cast::<Proof>() };
    proof.asked.push(party);
    if let Some(handle) = proof.starts {
        // SAFETY: a handle of this thread.
        assert_eq!(unsafe { shmlock_core_ticket_try_acquire(handle) }, Status::OwnerDied);
    }
    proof.answer
}

#[test]
fn a_party_is_buried_by_proof_only_and_a_life_that_begins_meanwhile_is_not() {
    let memory = Tickets::zeroed();
    let mut other = memory.party(3, 1);
    assert_eq!(memory.party(3, 2).call(shmlock_core_ticket_try_acquire), Status::Ok);
    let mut proof = Proof { asked: Vec::new(), answer: false, starts: None };
    assert_eq!(memory.bury(2, Some(is_dead), from_mut(&mut proof).cast()), Status::NotDead);
    assert_eq!(other.call(shmlock_core_ticket_try_acquire), Status::Busy);

    let back = memory.party(3, 2);
    (proof.answer, proof.starts) = (true, Some(back.0));
    assert_eq!(memory.bury(2, Some(is_dead), from_mut(&mut proof).cast()), Status::Ok);
    assert!(back.is_held());
    assert_eq!(other.call(shmlock_core_ticket_try_acquire), Status::Busy, "it lives");

    drop(back);
    proof.starts = None;
    assert_eq!(memory.bury(2, Some(is_dead), from_mut(&mut proof).cast()), Status::Ok);
    assert_eq!(other.acquire(9, None, null_mut()), Status::OwnerDied);
    assert_eq!(proof.asked, [2, 2, 2]);
}

#[test]
fn a_burial_without_proof_or_party_is_refused() {
    let memory = Tickets::zeroed();
    let mut proof = Proof { asked: Vec::new(), answer: true, starts: None };
    let context = from_mut(&mut proof).cast();
    assert_eq!(memory.bury(2, None, context), Status::Null);
    for party in [0, 4, 65_537] {
        assert_eq!(memory.bury(party, Some(is_dead), context), Status::BadParty);
    }
    let address = memory.address();
    for (address, len, parties, refusal) in [
        (null_mut(), 320, 3, Status::Null),
        (address.wrapping_byte_add(2), 320, 3, Status::Misaligned),
        (address, 319, 3, Status::TooShort),
        (address, 640, 1, Status::BadParties),
        (address, 640, 9, Status::BadParties),
        (address, 640, 4, Status::OtherParties),
    ] {
        // SAFETY: 644 bytes of atomics, or refused; the callback accepts this context.
        let buried =
            unsafe { shmlock_core_ticket_bury(address, len, parties, 1, Some(is_dead), context) };
        assert_eq!(buried, refusal);
    }
    assert!(proof.asked.is_empty());
    let lines = &memory.words()[32..];
    assert!(lines.iter().all(|&word| word == 0));
}

#[test]
fn invalid_memory_and_numbers_are_refused_and_left_unchanged_with_the_handle() {
    let memory = Tickets::zeroed();
    let address = memory.address();
    let misaligned = address.wrapping_byte_add(2);
    let ticket = |parties, version| u32::from_le_bytes([b'T', b'K', parties, version]);
    let word_lock = u32::from_le_bytes(*b"SHL\x01");
    for (magic, address, len, parties, party, scope, refusal) in [
        (0, null_mut(), 256, 2, 1, 0, Status::Null),
        (0, misaligned, 256, 2, 1, 0, Status::Misaligned),
        (0, address, 255, 2, 1, 0, Status::TooShort),
        (0, address, 639, 8, 1, 0, Status::TooShort),
        (0, address, 640, 0, 1, 0, Status::BadParties),
        (0, address, 640, 1, 1, 0, Status::BadParties),
        (0, address, 640, 9, 1, 0, Status::BadParties),
        (0, address, 640, u32::MAX, 1, 0, Status::BadParties),
        (0, address, 640, 2, 0, 0, Status::BadParty),
        (0, address, 640, 2, 3, 0, Status::BadParty),
        (0, address, 640, 8, 9, 0, Status::BadParty),
        (0, address, 640, 8, 65_537, 0, Status::BadParty),
        (0, address, 640, 2, 1, 2, Status::BadScope),
        (1, address, 640, 2, 1, 0, Status::NotALock),
        (word_lock, address, 640, 2, 1, 0, Status::NotALock),
        (ticket(3, 1), address, 640, 2, 1, 0, Status::OtherParties),
        (ticket(2, 2), address, 640, 2, 1, 0, Status::OtherVersion),
        (ticket(2, 128), address, 640, 2, 1, 0, Status::OtherVersion),
    ] {
        memory.0[2].store(magic, Relaxed);
        let before = memory.words();
        let mut handle = Party::unattached();
        assert_eq!(handle.attach(address, len, parties, party, scope), refusal);
        // SAFETY: refused.
        let attached =
            unsafe { shmlock_core_ticket_attach(null_mut(), address, len, parties, party, scope) };
        assert_eq!(attached, Status::Null);
        assert_eq!(handle.call(shmlock_core_ticket_release), Status::NotAttached);
        assert_eq!(memory.words(), before);
    }
}

#[test]
fn a_handle_that_is_null_or_a_copy_or_of_another_kind_is_an_error() {
    let memory = Tickets::zeroed();
    let mut original = memory.party(2, 1);
    let mut copy = Party::unattached();
    let size = size_of::<TicketHandle>();
    // SAFETY: two handles that do not overlap.
    unsafe { copy.0.cast::<u8>().copy_from_nonoverlapping(original.0.cast(), size) };
    let region = Memory::zeroed();
    let mut word = User::of(&region, 1);
    for function in FUNCTIONS {
        // SAFETY: refused before anything is read.
        assert_eq!(unsafe { function(null_mut()) }, Status::Null);
        // SAFETY: as above.
        assert_eq!(unsafe { function(original.0.wrapping_byte_add(1)) }, Status::Misaligned);
        assert_eq!(copy.call(function), Status::NotAttached);
        assert_eq!(Party::unattached().call(function), Status::NotAttached);
        // SAFETY: a handle of the same layout, attached to another kind of lock.
        assert_eq!(unsafe { function(word.raw().cast()) }, Status::NotAttached);
    }
    assert!(!copy.is_held() && !copy.has_waiters());
    assert_eq!(copy.fencing_token(), Err(Status::NotAttached));
    // SAFETY: as above, the other way round.
    let acquired = unsafe { shmlock_core_try_acquire(original.0.cast()) };
    assert_eq!(acquired, Status::NotAttached);
    // SAFETY: a handle of this thread, and 644 bytes of atomics.
    let attached = unsafe { shmlock_core_attach(word.raw(), memory.address(), 128, 1, SCOPE) };
    assert_eq!(attached, Status::NotALock, "nor is its memory a lock of the other kind");
    assert_eq!(original.call(shmlock_core_ticket_try_acquire), Status::Ok);
    for (to, refusal) in [(0_usize, Status::Null), (4, Status::Misaligned)] {
        let mut numbers = [0_u64; 2];
        let to = if to == 0 { null_mut() } else { numbers.as_mut_ptr().wrapping_byte_add(1) };
        // SAFETY: refused before anything is written.
        assert_eq!(unsafe { shmlock_core_ticket_fencing_token(original.0, to) }, refusal);
    }
}
