//! The loop among threads: beside a peer that plays with the flags, and among owners that die.

mod common;

use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::Relaxed;
use std::collections::HashSet;
use std::sync::Mutex;
use std::thread;

use common::{DIED, ProofBy, WAITERS, patient, rounds, token};
use shmlock_core::contend::{NeverDead, acquire_contended};
use shmlock_core::fence::InnerShareable;
use shmlock_core::token::LIVING_MIN;
use shmlock_core::{AtomicU32, Word, protocol};

#[test]
fn flags_moved_by_a_hostile_peer_delay_but_never_stop_anybody() {
    let (word, done) = (AtomicU32::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let peer = scope.spawn(|| {
            while !done.load(Relaxed) {
                word.fetch_xor(WAITERS, Relaxed);
                word.fetch_xor(WAITERS | DIED, Relaxed);
            }
        });
        let contenders = [70_000, 70_001].map(|me| {
            let (word, me) = (&word, token(me));
            scope.spawn(move || {
                for _ in 0..rounds(5_000) {
                    let taken = acquire_contended(word, me, InnerShareable, &mut NeverDead, &mut patient());
                    assert_eq!(taken.expect("patient").recovered_from, None);
                    assert_eq!(protocol::declare_consistent(word, me), Ok(()));
                    let _ = protocol::release(word, me, InnerShareable).expect("ours");
                }
            })
        });
        let ended = contenders.map(thread::ScopedJoinHandle::join);
        done.store(true, Relaxed);
        peer.join().expect("no panic");
        assert!(ended.iter().all(Result::is_ok));
    });
}

#[test]
fn among_dying_owners_each_section_is_alone_and_each_death_is_told_once() {
    const SECTIONS: u32 = rounds(5_000);
    let (word, counter, next_token) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(LIVING_MIN));
    let (dead, told) = (Mutex::new(HashSet::new()), Mutex::new(Vec::new()));
    let living = || {
        let new_token = || token(next_token.fetch_add(1, Relaxed));
        let mut me = new_token();
        for section in 0..SECTIONS {
            let mut proofs = ProofBy(|owner| dead.lock().expect("no panic").contains(&owner));
            let taken = acquire_contended(&word, me, InnerShareable, &mut proofs, &mut patient()).expect("patient");
            told.lock().expect("no panic").extend(taken.recovered_from);
            counter.store(counter.load(Relaxed) + 1, Relaxed);
            if section % 3 == 0 {
                dead.lock().expect("no panic").insert(me);
                me = new_token();
            } else {
                let _ = protocol::release(&word, me, InnerShareable).expect("ours");
            }
        }
    };
    thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(living))));
    assert_eq!(counter.into_inner(), 4 * SECTIONS);
    let (mut dead, told) = (dead.into_inner().expect("no panic"), told.into_inner().expect("no panic"));
    assert!(told.iter().all(|owner| dead.remove(owner)), "an owner was replaced twice, or alive");
    assert_eq!(dead.into_iter().next(), Word::from_bits(word.into_inner()).owner(), "a death was told to nobody");
}
