//! Tests the loop among threads: beside a peer that flips the flags, and among owners that die.

#![allow(unsafe_code, reason = "data that only the lock protects")]

mod common;

use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;
use std::collections::HashSet;
use std::sync::{Barrier, Mutex};
use std::thread;

use common::{DIED, ProofBy, Protected, WAITERS, patient, rounds, token};
use shmlock_core::contend::{AssumeAlive, acquire_contended};
use shmlock_core::fence::InnerShareable;
use shmlock_core::token::LIVING_MIN;
use shmlock_core::{AtomicU32, Word, protocol};

/// Runs `test` while a thread flips the flags of the word without a pause.
fn beside_a_hostile_peer(word: &AtomicU32, test: impl FnOnce() + Send) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let peer = scope.spawn(|| {
            while !done.load(Relaxed) {
                word.fetch_xor(WAITERS, Relaxed);
                word.fetch_xor(WAITERS | DIED, Relaxed);
            }
        });
        let ended = scope.spawn(test).join();
        done.store(true, Relaxed);
        peer.join().expect("no panic");
        assert!(ended.is_ok());
    });
}

#[test]
fn flags_flipped_by_a_hostile_peer_delay_but_never_block_a_contender() {
    let word = AtomicU32::new(0);
    let contending = |me| {
        for _ in 0..rounds(5_000) {
            let taken =
                acquire_contended(&word, me, InnerShareable, &mut AssumeAlive, &mut patient());
            assert_eq!(taken.expect("patient").recovered_from, None);
            assert_eq!(protocol::declare_consistent(&word, me), Ok(()));
            let _ = protocol::release(&word, me, InnerShareable).expect("ours");
        }
    };
    beside_a_hostile_peer(&word, || {
        thread::scope(|scope| {
            scope.spawn(|| contending(token(70_000)));
            contending(token(70_001));
        });
    });
}

#[test]
fn flags_flipped_by_a_hostile_peer_do_not_prevent_a_recovery() {
    let (word, me, dead) = (AtomicU32::new(0), token(70_000), token(70_001));
    beside_a_hostile_peer(&word, || {
        for _ in 0..rounds(50_000) {
            word.fetch_or(dead.get(), Relaxed);
            let taken =
                protocol::take_over(&word, dead, me, InnerShareable).expect("only flags moved");
            assert_eq!(taken.recovered_from, Some(dead));
            let _ = protocol::abandon(&word, me, InnerShareable).expect("ours");
        }
    });
}

#[test]
fn among_dying_owners_each_section_is_exclusive_and_each_death_is_told_once() {
    const SECTIONS: u32 = rounds(5_000);
    let (word, sections, next_token) =
        (AtomicU32::new(0), Protected::zero(), AtomicU32::new(LIVING_MIN));
    let (start, dead, told) = (Barrier::new(4), Mutex::new(HashSet::new()), Mutex::new(Vec::new()));
    let living = || {
        let new_token = || token(next_token.fetch_add(1, Relaxed));
        let mut me = new_token();
        start.wait();
        for section in 0..SECTIONS {
            let mut proofs = ProofBy(|owner| dead.lock().expect("no panic").contains(&owner));
            let taken = acquire_contended(&word, me, InnerShareable, &mut proofs, &mut patient())
                .expect("patient");
            told.lock().expect("no panic").extend(taken.recovered_from);
            // SAFETY:
            // - this thread holds the lock until it releases it or declares its token dead.
            unsafe { sections.update(|before| before + 1) };
            if section % 3 == 0 {
                dead.lock().expect("no panic").insert(me);
                me = new_token();
            } else {
                let _ = protocol::release(&word, me, InnerShareable).expect("ours");
            }
        }
    };
    thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(living))));
    assert_eq!(sections.into_inner(), 4 * u64::from(SECTIONS));
    let (mut dead, told) =
        (dead.into_inner().expect("no panic"), told.into_inner().expect("no panic"));
    assert!(told.iter().all(|owner| dead.remove(owner)), "recovered twice, or from a living owner");
    assert_eq!(
        dead.into_iter().next(),
        Word::from_bits(word.into_inner()).owner(),
        "a death was not told"
    );
}
