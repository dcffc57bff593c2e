//! Checks `TicketLock` on raw memory: each word stands where the contract says, and any bytes in
//! any word give an error or a bounded wait, and two holders only where PROTOCOL.md, section 20,
//! says.

#![allow(missing_docs, reason = "not an interface")]
#![allow(unsafe_code, reason = "raw addresses as a peer outside Rust has them")]

mod common;

use std::mem::forget;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;

use common::{Random, number, rounds};
use proptest::prelude::*;
use shmlock_core::contend::{AssumeAlive, Liveness};
use shmlock_core::fence::{FullSystem, InnerShareable};
use shmlock_core::layout::{MAGIC, ROLL_MAGIC};
use shmlock_core::ticket::layout::ticket_magic;
use shmlock_core::ticket::{
    LAST_NUMBER, Section, Ticket, TicketPlace, burial_of, next_life, next_number,
};
use shmlock_core::wait::Spin;
use shmlock_core::{AtomicU32, Error, TicketLock, TicketRegion, Token};

const PARTIES: usize = 3;
const WORDS: usize = 32 + 16 * PARTIES;

/// Memory as a peer in another language sees it.
struct Bank([AtomicU32; WORDS]);

// Written out a second time on purpose: other programs agree on these offsets.
const MAGIC_AT: usize = 2;
const DECLARED_AT: usize = 3;
const CHOOSING: usize = 0;
const NUMBER: usize = 2;
const SECTION: usize = 4;
const LIFE: usize = 6;
const BURIED: usize = 14;

impl Bank {
    fn new() -> Self {
        Self([const { AtomicU32::new(0) }; WORDS])
    }

    fn place(&self) -> TicketPlace<'_, PARTIES> {
        // SAFETY: aligned, as long as it says, alive for the borrow, and accessed as atomics only.
        unsafe { TicketPlace::from_raw(NonNull::from(&self.0).cast(), 4 * WORDS) }.expect("whole")
    }

    fn region(&self) -> Result<TicketRegion<'_, PARTIES>, Error> {
        TicketRegion::at(self.place())
    }

    fn party(&self, party: u16) -> TicketLock<'_, PARTIES> {
        TicketLock::new(self.region().expect("ours"), number(party)).expect("one of them")
    }

    fn word(&self, party: usize, word: usize) -> &AtomicU32 {
        &self.0[32 + 16 * (party - 1) + word]
    }

    fn all(&self) -> Vec<u32> {
        self.0.iter().map(|word| word.load(Relaxed)).collect()
    }
}

/// Proof that any party is dead.
struct Dead;

impl Liveness for Dead {
    fn while_dead<R>(&mut self, _owner: Token, act: impl FnOnce() -> R) -> Option<R> {
        Some(act())
    }
}

#[test]
fn each_word_stands_where_the_contract_says() {
    let bank = Bank::new();
    let lock = bank.party(2);
    assert_eq!(bank.0[MAGIC_AT].load(Relaxed), 0x0103_4b54);
    let guard = lock.try_lock().unwrap().unwrap();
    assert_eq!(bank.word(2, CHOOSING).load(Relaxed), 0);
    assert_eq!(bank.word(2, NUMBER).load(Relaxed), 1);
    assert_eq!(bank.word(2, SECTION).load(Relaxed), 1);
    assert_eq!(bank.word(2, LIFE).load(Relaxed), 1);
    forget(guard);
    forget(lock);
    bank.party(2).recover().unwrap();
    assert_eq!(bank.word(2, SECTION).load(Relaxed), 2);
    assert_eq!(bank.word(2, NUMBER).load(Relaxed), 0);
    assert_eq!(bank.word(2, LIFE).load(Relaxed), 2);
    let region = bank.region().unwrap();
    region.bury(number(2), FullSystem, &mut Dead).unwrap();
    assert_eq!(bank.word(2, BURIED).load(Relaxed), 3);
    bank.party(1).lock(&mut Spin::attempts(0)).unwrap().declare_consistent().unwrap();
    assert_eq!(bank.0[DECLARED_AT].load(Relaxed), 1);
}

#[test]
fn a_place_that_is_too_short_or_misaligned_is_refused() {
    let bank = Bank::new();
    let address = NonNull::from(&bank.0).cast::<u8>();
    for (skip, len, refused) in [
        (0, 4 * WORDS - 1, Error::TooShort { len: 4 * WORDS - 1 }),
        (0, 0, Error::TooShort { len: 0 }),
        (1, 4 * WORDS - 1, Error::Misaligned { remainder: 1 }),
    ] {
        // SAFETY: within the bank.
        let address = unsafe { address.add(skip) };
        // SAFETY: refused before any access.
        let place = unsafe { TicketPlace::<PARTIES>::from_raw(address, len) };
        assert_eq!(place.map(drop), Err(refused));
    }
}

#[test]
fn memory_of_something_else_is_refused_and_not_written_to() {
    for (magic, refused) in [
        (MAGIC, Error::NotALock { found: MAGIC }),
        (1, Error::NotALock { found: 1 }),
        (ROLL_MAGIC, Error::NotALock { found: ROLL_MAGIC }),
        (ticket_magic(2), Error::OtherParties { found: 2 }),
        (ticket_magic(3) + (1 << 24), Error::OtherVersion { found: 2 }),
        // Not the advice that version 129 of the other lock has.
        (ticket_magic(3) | 128 << 24, Error::NotALock { found: 0x8103_4b54 }),
    ] {
        let bank = Bank::new();
        bank.0[MAGIC_AT].store(magic, Relaxed);
        let before = bank.all();
        assert_eq!(bank.region().map(drop), Err(refused));
        assert_eq!(TicketRegion::existing(bank.place()).map(|_| ()), Err(refused));
        assert_eq!(bank.all(), before);
    }
}

#[test]
fn a_look_at_untouched_memory_finds_no_lock_and_writes_nothing() {
    let bank = Bank::new();
    assert!(matches!(TicketRegion::existing(bank.place()), Ok(None)));
    assert!(bank.all().iter().all(|&word| word == 0));
    bank.region().unwrap();
    assert!(matches!(TicketRegion::existing(bank.place()), Ok(Some(_))));
}

/// Parties 1 and 2 keep to the protocol. All other bytes are garbage.
#[test]
fn garbage_outside_two_lines_never_lets_both_parties_in() {
    let mut random = Random(19);
    let mut entered = 0;
    for _ in 0..rounds(20_000) {
        let bank = Bank::new();
        let region = bank.region().unwrap();
        let garbage = |random: &mut Random| match random.below(6) {
            0 => 0,
            1 => 1,
            2 => random.below(8),
            3 => u32::MAX - random.below(3),
            4 => (1 << 31) - 1 + random.below(3),
            _ => random.word(),
        };
        let scribble = |random: &mut Random| {
            for at in (0..32).filter(|&at| at != MAGIC_AT).chain(64..WORDS) {
                bank.0[at].store(garbage(random), Relaxed);
            }
        };
        scribble(&mut random);
        let (one, two) = (bank.party(1), bank.party(2));
        for _ in 0..4 {
            let (first, second) = if random.below(2) == 0 { (&one, &two) } else { (&two, &one) };
            let held = first.lock(&mut Spin::attempts(3));
            scribble(&mut random);
            let other = second.lock(&mut Spin::attempts(3));
            assert!(!(held.is_ok() && other.is_ok()), "two holders: {:?}", bank.all());
            entered += u32::from(held.is_ok()) + u32::from(other.is_ok());
            let _ =
                (region.holder(), region.owner_died(), region.acquisitions(), region.recoveries());
        }
    }
    assert!(entered > rounds(20_000) / 10, "all were kept out: {entered}");
}

/// While the last number stands, no party draws; a burial or its end lets them.
#[test]
fn the_last_number_of_another_party_ends_in_a_bounded_wait() {
    let bank = Bank::new();
    bank.word(2, NUMBER).store(LAST_NUMBER, Relaxed);
    let one = bank.party(1);
    let busy = one.lock(&mut Spin::attempts(5)).map(drop).unwrap_err();
    assert!(matches!(busy, Error::Busy { .. }), "{busy}");
    assert_eq!(bank.word(1, CHOOSING).load(Relaxed), 0);
    assert_eq!(bank.word(1, NUMBER).load(Relaxed), 0);
    bank.word(2, BURIED).store(burial_of(0), Relaxed);
    assert!(one.try_lock().unwrap().is_some());
    bank.word(2, NUMBER).store(LAST_NUMBER - 1, Relaxed);
    let guard = one.try_lock().unwrap().unwrap();
    assert_eq!(bank.word(1, NUMBER).load(Relaxed), LAST_NUMBER);
    assert!(bank.party(3).try_lock().unwrap().is_none());
    drop(guard);
    assert!(bank.party(3).try_lock().unwrap().is_some());
}

#[test]
fn any_bytes_in_all_words_give_an_error_or_an_answer() {
    let mut random = Random(7);
    for round in 0..rounds(20_000) {
        let bank = Bank::new();
        for word in &bank.0 {
            word.store(random.word(), Relaxed);
        }
        if round % 8 != 0 {
            bank.0[MAGIC_AT].store(ticket_magic(3), Relaxed);
        }
        let Ok(region) = bank.region() else { continue };
        for party in [1, 2, 3] {
            let lock = TicketLock::with_fence(region, number(party), FullSystem).unwrap();
            if let Ok(guard) = lock.lock(&mut Spin::attempts(2)) {
                let _ = (guard.owner_died(), guard.fencing_token());
                guard.declare_consistent().unwrap();
                assert!(!guard.owner_died());
            }
            let _ = (region.holder(), lock.has_waiters(), lock.recover());
            assert_eq!(bank.word(usize::from(party), NUMBER).load(Relaxed), 0);
        }
        let _ = region.bury(number(1), InnerShareable, &mut AssumeAlive);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: rounds(1024),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn of_two_tickets_one_is_first(a: u32, b: u32, one in 1_u16..9, other in 1_u16..9) {
        let (a, b) = (Ticket { number: a, party: one }, Ticket { number: b, party: other });
        prop_assert!(!(a.is_before(b) && b.is_before(a)));
        if a.number != 0 && b.number != 0 && one != other {
            prop_assert!(a.is_before(b) || b.is_before(a));
        }
    }

    #[test]
    fn a_number_is_after_all_that_it_was_drawn_from(highest: u32, last: u32) {
        match next_number(highest, last) {
            Some(next) => prop_assert!(next > highest && next <= last),
            None => prop_assert!(highest >= last),
        }
    }

    #[test]
    fn a_death_counts_once_by_whichever_way(bits: u32) {
        let before = Section::from_bits(bits);
        let deaths = before.deaths_if_dead();
        prop_assert_eq!(before.recovered().deaths(), deaths);
        prop_assert_eq!(before.recovered().recovered(), before.recovered());
        prop_assert_eq!(before.recovered().deaths_if_dead(), deaths);
        let entered = before.entered();
        prop_assert!(entered.is_inside() && entered.deaths() == deaths);
        prop_assert_eq!(entered.left().deaths(), deaths);
        prop_assert!(!entered.left().is_inside());
        prop_assert_eq!(entered.deaths_if_dead(), (deaths + 1) & (u32::MAX >> 1));
    }

    #[test]
    fn a_new_life_is_another_and_not_buried(life: u32, buried: u32) {
        let next = next_life(life, buried);
        prop_assert!(next != life && burial_of(next) != buried);
    }
}
