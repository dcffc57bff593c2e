//! Tests the recovery of a ticket lock as C calls it: by proof of a callback, and by the caller's.

#![allow(unsafe_code, reason = "calls functions for C")]

mod common;

use core::ffi::c_void;
use core::ptr::{from_mut, null_mut};
use std::sync::atomic::Ordering::Relaxed;

use common::described;
use common::tickets::{FUNCTIONS, Party, Tickets};
use shmlock_core_c::record::Holder;
use shmlock_core_c::status::Status;
use shmlock_core_c::ticket::shmlock_core_ticket_begin_life;
use shmlock_core_c::ticket_acquire::shmlock_core_ticket_try_acquire;
use shmlock_core_c::ticket_handle::TicketHandle;
use shmlock_core_c::ticket_hold::{
    shmlock_core_ticket_declare_consistent, shmlock_core_ticket_release,
};

/// What the callback knows of a party.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Alive,
    Dead,
    Unknown,
}

/// The context of the callback: what it knows and does, and what it has seen.
struct Proof<'m> {
    memory: &'m Tickets,
    of: [State; 3],
    asked: Vec<u32>,
    /// The holder at each call.
    seen: Vec<Holder>,
    /// The handle that waits, which the callback tries to use.
    waits: Option<*mut TicketHandle>,
    /// A handle that begins a life and contends after the proof.
    starts: Option<*mut TicketHandle>,
    results: Vec<Status>,
}

impl<'m> Proof<'m> {
    fn new(memory: &'m Tickets, of: [State; 3]) -> Self {
        let (asked, seen, results) = (Vec::new(), Vec::new(), Vec::new());
        Self { memory, of, asked, seen, waits: None, starts: None, results }
    }

    /// Party 2 is dead; the others live.
    fn of_two(memory: &'m Tickets) -> Self {
        Self::new(memory, [State::Alive, State::Dead, State::Alive])
    }

    fn recover(&mut self, party: &mut Party, waits: u32) -> Status {
        party.recover(waits, Some(is_dead), from_mut(self).cast())
    }
}

unsafe extern "C" fn is_dead(context: *mut c_void, party: u32) -> bool {
    // SAFETY: the test passes its own `Proof`, and does not use it during the call.
    let proof = unsafe { &mut *context.cast::<Proof<'_>>() };
    proof.asked.push(party);
    proof.seen.push(proof.memory.inspect().expect("a ticket lock"));
    if let Some(handle) = proof.waits {
        // SAFETY: a handle of this thread, during another call: this is the test.
        proof.results.extend(FUNCTIONS.map(|function| unsafe { function(handle) }));
    }
    let dead = proof.of[party as usize - 1] == State::Dead;
    if let Some(handle) = proof.starts {
        // SAFETY: another handle of this thread.
        proof.results.push(unsafe { shmlock_core_ticket_try_acquire(handle) });
    }
    dead
}

/// Party 2 dies in its critical section, described as `motor`.
fn dies_inside(memory: &Tickets) {
    let mut two = memory.party(3, 2);
    assert_eq!(two.set_record(&described(b"motor")), Status::Ok);
    assert_eq!(two.call(shmlock_core_ticket_try_acquire), Status::Ok);
}

#[test]
fn a_dead_owner_is_recovered_once_and_its_record_can_be_read_until_then() {
    let memory = Tickets::zeroed();
    dies_inside(&memory);
    let (mut one, mut three) = (memory.party(3, 1), memory.party(3, 3));
    assert_eq!(one.set_record(&described(b"supervisor")), Status::Ok);
    let mut proof = Proof::of_two(&memory);
    assert_eq!(proof.recover(&mut one, 9), Status::OwnerDied);
    assert_eq!(proof.asked, [2]);
    let [dead] = proof.seen[..] else { panic!("{:?}", proof.seen) };
    assert_eq!((dead.token, dead.recorded, dead.owner_died), (2, true, false));
    assert_eq!(dead.record, described(b"motor"));

    let now = memory.inspect().expect("a ticket lock");
    assert_eq!((now.token, now.recorded, now.owner_died), (1, true, true));
    assert_eq!(now.record, described(b"supervisor"));
    assert_eq!(one.fencing_token(), Ok(2));
    assert_eq!(one.call(shmlock_core_ticket_declare_consistent), Status::Ok);
    assert_eq!(one.call(shmlock_core_ticket_release), Status::Ok);
    assert_eq!(three.call(shmlock_core_ticket_try_acquire), Status::Busy, "it has no proof");
    assert_eq!(proof.recover(&mut three, 9), Status::Ok, "not a second time");
    assert_eq!(three.call(shmlock_core_ticket_release), Status::Ok);

    let mut back = memory.party(3, 2);
    assert_eq!(back.call(shmlock_core_ticket_begin_life), Status::Ok);
    assert_eq!(back.call(shmlock_core_ticket_try_acquire), Status::Ok, "nor by its restart");
    let now = memory.inspect().expect("a ticket lock");
    assert_eq!((now.token, now.recoveries, now.owner_died), (2, 1, false));
    assert!(!now.recorded, "this handle has no record, and that of the dead one is gone");
}

#[test]
fn each_later_owner_is_told_until_the_data_is_declared_consistent() {
    let memory = Tickets::zeroed();
    dies_inside(&memory);
    let mut proof = Proof::of_two(&memory);
    for number in [1, 3, 1] {
        let mut party = memory.party(3, number);
        assert_eq!(proof.recover(&mut party, 9), Status::OwnerDied);
        assert_eq!(party.call(shmlock_core_ticket_release), Status::Ok);
    }
}

#[test]
fn an_owner_that_lives_and_one_in_doubt_keep_the_lock() {
    for state in [State::Alive, State::Unknown] {
        let memory = Tickets::zeroed();
        let (mut one, mut two) = (memory.party(3, 1), memory.party(3, 2));
        assert_eq!(two.call(shmlock_core_ticket_try_acquire), Status::Ok);
        let mut proof = Proof::new(&memory, [State::Dead, state, State::Dead]);
        for waits in [0, 1, 5] {
            proof.asked.clear();
            assert_eq!(proof.recover(&mut one, waits), Status::Busy, "{state:?}");
            assert_eq!(proof.asked, vec![2; waits as usize], "after each wait");
            assert!(two.is_held() && !one.is_held() && !two.has_waiters());
        }
        assert_eq!(two.call(shmlock_core_ticket_release), Status::Ok);
        assert_eq!(proof.recover(&mut one, 0), Status::Ok);
    }
}

#[test]
fn a_party_that_died_while_it_drew_its_number_takes_two_waits() {
    let memory = Tickets::zeroed();
    let mut one = memory.party(3, 1);
    let line = 32 + 16;
    memory.0[line].store(1, Relaxed); // it draws
    memory.0[line + 2].store(1, Relaxed); // a number
    let mut proof = Proof::of_two(&memory);
    assert_eq!(proof.recover(&mut one, 1), Status::Busy);
    assert_eq!(proof.recover(&mut one, 2), Status::Ok, "it was not in its critical section");
    assert_eq!(proof.asked, [2, 2, 2]);
    assert_eq!(one.call(shmlock_core_ticket_release), Status::Ok);
    assert_eq!(one.take_over(2), Status::Ok);
}

#[test]
fn a_party_that_starts_after_the_proof_is_not_robbed_and_waits() {
    let memory = Tickets::zeroed();
    dies_inside(&memory);
    let (mut one, mut back) = (memory.party(3, 1), memory.party(3, 2));
    let mut proof = Proof::of_two(&memory);
    proof.starts = Some(back.0);
    assert_eq!(proof.recover(&mut one, 9), Status::OwnerDied);
    assert_eq!(proof.results, [Status::Busy]);
    assert!(one.is_held() && !back.is_held());
    assert_eq!(one.call(shmlock_core_ticket_release), Status::Ok);
    assert_eq!(back.call(shmlock_core_ticket_try_acquire), Status::OwnerDied);
    proof.starts = None;
    proof.of[1] = State::Alive;
    assert_eq!(proof.recover(&mut one, 9), Status::Busy);
    assert!(back.is_held());
}

#[test]
fn the_callback_may_not_use_the_handle_that_waits() {
    let memory = Tickets::zeroed();
    dies_inside(&memory);
    let mut one = memory.party(3, 1);
    let mut proof = Proof::of_two(&memory);
    proof.waits = Some(one.0);
    assert_eq!(proof.recover(&mut one, 9), Status::OwnerDied);
    assert_eq!(proof.results, [Status::InUse; FUNCTIONS.len()]);
    assert!(one.is_held());
}

#[test]
fn a_callers_own_proof_passes_the_party_that_it_names_and_no_other() {
    let memory = Tickets::zeroed();
    let (mut one, mut three) = (memory.party(3, 1), memory.party(3, 3));
    assert_eq!(one.take_over(2), Status::Ok, "free");
    assert_eq!(one.take_over(2), Status::Ok, "holds nest");
    assert_eq!(three.take_over(2), Status::Busy);
    for _ in 0..2 {
        assert_eq!(one.call(shmlock_core_ticket_release), Status::Ok);
    }
    dies_inside(&memory);
    assert_eq!(three.take_over(1), Status::Busy);
    for no_party in [0, 4, 65_537] {
        assert_eq!(three.take_over(no_party), Status::BadParty);
    }
    assert_eq!(memory.inspect().map(|holder| holder.token), Ok(2));
    assert_eq!(three.take_over(2), Status::OwnerDied);
    assert_eq!(one.take_over(2), Status::Busy, "three holds it now");
    assert_eq!(three.call(shmlock_core_ticket_declare_consistent), Status::Ok);
    assert_eq!(three.call(shmlock_core_ticket_release), Status::Ok);
    assert_eq!(one.take_over(2), Status::Ok);
}

#[test]
fn a_recovery_without_a_callback_is_refused_and_changes_nothing() {
    let memory = Tickets::zeroed();
    dies_inside(&memory);
    let mut one = memory.party(3, 1);
    let before = memory.words();
    assert_eq!(one.recover(9, None, null_mut()), Status::Null);
    assert_eq!(memory.words(), before);
    assert_eq!(Party::unattached().recover(9, Some(is_dead), null_mut()), Status::NotAttached);
}

/// Parties 1 and 2 keep to the protocol. All other bytes are garbage, and party 3 counts as dead.
#[test]
fn garbage_outside_two_lines_gives_a_bounded_wait_and_never_two_owners() {
    let mut state = 19_u64;
    let mut random = || {
        // Vigna, xorshift64*: enough for a test.
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let drawn = (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) as u32;
        match drawn % 6 {
            0 => 0,
            1 => 1,
            2 => drawn >> 29,
            3 => u32::MAX - (drawn >> 30),
            _ => drawn.rotate_left(7),
        }
    };
    let mut asked_in_all = 0;
    for _ in 0..if cfg!(miri) { 2 } else { 2_000 } {
        let memory = Tickets::zeroed();
        let (mut one, mut two) = (memory.party(3, 1), memory.party(3, 2));
        let mut proof = Proof::new(&memory, [State::Alive, State::Alive, State::Dead]);
        for at in (0..32).filter(|&at| at != 2).chain(64..80) {
            memory.0[at].store(random(), Relaxed);
        }
        let first = proof.recover(&mut one, 9);
        let second = proof.recover(&mut two, 9);
        assert!(matches!(first, Status::Ok | Status::OwnerDied), "three is dead: {first:?}");
        assert_eq!(second, Status::Busy);
        let asked = proof.asked.len();
        assert!(asked <= 2 * 9 + 2, "{asked}");
        assert!(memory.inspect().is_ok());
        assert_eq!(one.call(shmlock_core_ticket_release), Status::Ok);
        assert!(matches!(two.take_over(3), Status::Ok | Status::OwnerDied));
        assert_eq!(one.take_over(3), Status::Busy);
        asked_in_all += asked;
    }
    assert!(asked_in_all > 0, "the garbage of party 3 was never in the way");
}
