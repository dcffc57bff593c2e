//! Every order of the protocol's steps with two contenders, searched exhaustively.
//!
//! The decisions are the product's own: [`own_deadline`](crate::protocol::own_deadline),
//! [`place`](crate::protocol::place), [`judge`](crate::protocol::judge) and
//! [`LeaseState`](crate::hold::LeaseState). The model adds what surrounds them.
//!
//! * **Messages** are lost, delayed without a bound, and doubled. A request that its sender has
//!   given up may still arrive.
//! * **Clocks** of the contenders may run slower than the server's: they miss one tick of each TTL,
//!   which is the margin. (A faster clock ends a hold earlier.)
//! * **Contenders** may stop at any point for any time, or die.
//! * **Servers**: an election, after which the former leader may still answer keep-alives. Leases
//!   expire late or in time, never early.
//! * **An administrator** may delete a key.
//!
//! Deaths, deletions, elections and messages that come late or twice are counted as faults, and a
//! search allows so many; lost messages, delays and slow clocks are free.
//!
//! The promises are those of [`Breach`]. What the model leaves out: more than two contenders, more
//! than one acquisition of each, a server's restart with an older state, and the threads of one
//! process.

mod flaw;
mod moves;
mod progress;
mod server;
mod world;

use std::collections::{HashSet, VecDeque};

use flaw::Flaw;
use world::{Breach, World};

/// Searches all states that can be reached with so many faults, the nearest first. Returns their
/// number, or the first breach.
fn search(flaw: Option<Flaw>, faults: u8) -> Result<usize, Breach> {
    let begin = World::new(flaw, faults);
    let mut seen = HashSet::from([begin.clone()]);
    let mut finished = HashSet::new();
    let mut open = VecDeque::from([begin]);
    while let Some(world) = open.pop_front() {
        for next in moves::all(&world).inspect_err(|b| eprintln!("{b:?} after {world:#?}"))? {
            if seen.insert(next.clone()) {
                progress::check(&next, &mut finished)
                    .inspect_err(|b| eprintln!("{b:?} from {next:#?}"))?;
                open.push_back(next);
            }
        }
    }
    Ok(seen.len())
}

#[test]
fn the_protocol_keeps_its_promises() {
    let states = search(None, 1).expect("no breach");
    println!("{states} states");
    assert!(states > 100_000, "the search has become small: {states} states");
}

#[test]
fn without_its_own_deadline_a_holder_overlaps_its_successor() {
    assert_eq!(search(Some(Flaw::NoOwnDeadline), 0), Err(Breach::TwoHolders));
}

#[test]
fn a_deadline_that_counts_from_the_answer_comes_too_late() {
    assert_eq!(search(Some(Flaw::DeadlineFromAnswer), 0), Err(Breach::TwoHolders));
}

#[test]
fn without_a_margin_a_slow_clock_overlaps() {
    assert_eq!(search(Some(Flaw::NoMargin), 0), Err(Breach::TwoHolders));
}

#[test]
fn a_clock_that_stands_still_while_suspended_overlaps() {
    assert_eq!(search(Some(Flaw::ClockStandsStill), 0), Err(Breach::TwoHolders));
}

#[test]
fn without_comparing_the_terms_a_former_leader_prolongs_a_hold() {
    assert_eq!(search(Some(Flaw::NoTermCheck), 1), Err(Breach::TwoHolders));
}

#[test]
fn a_loss_that_a_late_renewal_undoes_is_none() {
    assert_eq!(search(Some(Flaw::LossUndone), 0), Err(Breach::LossUndone));
}

#[test]
fn without_the_create_revision_a_key_put_again_passes_for_the_former() {
    assert_eq!(search(Some(Flaw::NoRevisionCheck), 2), Err(Breach::RenewedWithoutKey));
}

#[test]
fn a_token_from_the_lease_does_not_follow_the_order_of_holders() {
    assert_eq!(search(Some(Flaw::TokenFromLease), 0), Err(Breach::HolderRefused));
}

#[test]
fn a_key_without_a_lease_outlives_its_owner() {
    assert_eq!(search(Some(Flaw::KeyWithoutLease), 1), Err(Breach::Stuck));
}
