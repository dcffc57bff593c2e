//! Searches every order of the protocol's steps with two contenders.
//!
//! The decisions are the product's own: [`own_deadline`](crate::protocol::own_deadline),
//! [`place`](crate::protocol::place), [`judge`](crate::protocol::judge) and
//! [`LeaseState`](crate::hold::LeaseState). The model adds what surrounds them.
//!
//! * **Messages** are lost, delayed without a bound, and doubled. A request that its sender has
//!   given up may still arrive.
//! * **Clocks** of the contenders may run slower than the server's: they miss one tick, which is
//!   the margin. (A faster clock ends a hold earlier.)
//! * **Contenders** may stop at any point for any time, or die.
//! * **Servers**: an election, after which the former leader may still answer keep-alives. Leases
//!   expire late or in time, never early.
//! * **An administrator** may delete a key.
//!
//! A search allows a number of faults (deaths, deletions, elections, requests that come late or
//! twice), and a number of lost messages. Delays, stops and slow clocks are free.
//!
//! The promises are those of [`Breach`]. One contender has all these troubles. The other one acts
//! at any time too, but its requests are answered at once, and its clock is right. The model leaves
//! out: troubles of two contenders together, more than two contenders, more than one acquisition of
//! each, a server's restart with an older state, and the threads of one process.

mod flaw;
mod moves;
mod progress;
mod server;
mod world;

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use flaw::Flaw;
use server::TTL;
use world::{Breach, Scope, World};

/// Returns a number for a state. Two states with one number would hide a part of the search; among
/// a million states that happens in one search of thirty million.
fn fingerprint(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}

/// Searches all states that can be reached, the nearest first. Returns their number, or the first
/// breach.
fn search(flaw: Option<Flaw>, scope: Scope) -> Result<usize, Breach> {
    let begin = World::new(flaw, scope);
    let mut seen = HashSet::from([fingerprint(&begin)]);
    let mut finished = HashSet::new();
    let mut open = VecDeque::from([begin]);
    while let Some(world) = open.pop_front() {
        for next in moves::all(&world)? {
            if seen.insert(fingerprint(&next)) {
                if scope.progress {
                    progress::check(&next, &mut finished)?;
                }
                open.push_back(next);
            }
        }
    }
    Ok(seen.len())
}

/// Clocks and messages alone.
const EXCLUSION: Scope = Scope { faults: 0, losses: 0, end: TTL, writes: false, progress: false };
const FAULT: Scope = Scope { faults: 1, ..EXCLUSION };
const FAULTS2: Scope = Scope { faults: 2, ..EXCLUSION };
const WRITES: Scope = Scope { losses: 1, writes: true, ..EXCLUSION };
/// Faults come early, and each state is followed to its end, however late.
const PROGRESS: Scope = Scope { end: 1, progress: true, ..FAULT };

#[test]
fn the_protocol_keeps_its_promises_whatever_clocks_and_messages_do() {
    let states = search(None, WRITES).expect("no breach");
    println!("{states} states");
    assert!(states > 10_000, "the search has become small: {states} states");
}

#[test]
fn the_protocol_keeps_its_promises_with_a_fault_and_goes_on_after_it() {
    let states = search(None, PROGRESS).expect("no breach");
    println!("{states} states");
    assert!(states > 10_000, "the search has become small: {states} states");
}

#[test]
fn without_its_own_deadline_a_holder_overlaps_its_successor() {
    assert_eq!(search(Some(Flaw::NoOwnDeadline), EXCLUSION), Err(Breach::TwoHolders));
}

#[test]
fn a_deadline_that_counts_from_the_answer_comes_too_late() {
    assert_eq!(search(Some(Flaw::DeadlineFromAnswer), EXCLUSION), Err(Breach::TwoHolders));
}

#[test]
fn without_a_margin_a_slow_clock_overlaps() {
    assert_eq!(search(Some(Flaw::NoMargin), EXCLUSION), Err(Breach::TwoHolders));
}

#[test]
fn a_clock_that_stands_still_while_suspended_overlaps() {
    assert_eq!(search(Some(Flaw::ClockStandsStill), EXCLUSION), Err(Breach::TwoHolders));
}

#[test]
fn without_comparing_the_terms_a_former_leader_prolongs_a_hold() {
    assert_eq!(search(Some(Flaw::NoTermCheck), FAULT), Err(Breach::TwoHolders));
}

#[test]
fn a_loss_that_a_late_renewal_undoes_is_none() {
    assert_eq!(search(Some(Flaw::LossUndone), EXCLUSION), Err(Breach::LossUndone));
}

#[test]
fn without_the_create_revision_a_key_put_again_passes_for_the_former() {
    assert_eq!(search(Some(Flaw::NoRevisionCheck), FAULTS2), Err(Breach::RenewedWithoutKey));
}

#[test]
fn a_token_from_the_lease_does_not_follow_the_order_of_holders() {
    assert_eq!(search(Some(Flaw::TokenFromLease), WRITES), Err(Breach::HolderRefused));
}

#[test]
fn a_key_without_a_lease_outlives_its_owner() {
    assert_eq!(search(Some(Flaw::KeyWithoutLease), PROGRESS), Err(Breach::Stuck));
}
