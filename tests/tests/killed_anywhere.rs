//! A process killed at any instruction: nobody is stuck, nobody goes untold, nothing is left.

use shmlock_tests::alone;
use shmlock_tests::step::{Fate, Phase, sweep};

fn killed_while(phase: Phase) {
    sweep(env!("CARGO_BIN_EXE_actor"), Fate::Killed, phase);
}

#[test]
fn while_it_opens_a_new_lock() {
    alone!(|| killed_while(Phase::OpenNew));
}

#[test]
fn while_it_opens_a_lock_in_use() {
    alone!(|| killed_while(Phase::OpenPresent));
}

#[test]
fn while_it_is_given_a_dead_owners_token() {
    alone!(|| killed_while(Phase::OpenStale));
}

#[test]
fn while_it_takes_and_gives_back_undisturbed() {
    alone!(|| killed_while(Phase::Section));
}

#[test]
fn while_it_waits_and_is_woken() {
    alone!(|| killed_while(Phase::Contended));
}

#[test]
fn while_it_gives_back_to_sleepers() {
    alone!(|| killed_while(Phase::Release));
}

#[test]
fn while_it_passes_on_beside_sleepers() {
    alone!(|| killed_while(Phase::PassOn));
}

#[test]
fn while_it_takes_over_from_the_dead() {
    alone!(|| killed_while(Phase::TakeOver));
}

#[test]
fn while_it_closes_a_lock_that_it_holds() {
    alone!(|| killed_while(Phase::CloseHeld));
}

#[test]
fn while_it_closes_a_lock_that_another_holds() {
    alone!(|| killed_while(Phase::CloseBeside));
}

#[test]
fn while_it_closes_as_the_last_one() {
    alone!(|| killed_while(Phase::CloseLast));
}
