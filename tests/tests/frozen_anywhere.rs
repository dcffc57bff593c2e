//! A process stopped at any instruction: nobody takes it for dead, however slow it is, and it bars
//! nobody from what it does not hold.

use shmlock_tests::alone;
use shmlock_tests::step::{Fate, Phase, sweep};

fn frozen_while(phase: Phase) {
    sweep(env!("CARGO_BIN_EXE_actor"), Fate::Frozen, phase);
}

#[test]
fn while_it_opens_a_new_lock() {
    alone!(|| frozen_while(Phase::OpenNew));
}

#[test]
fn while_it_opens_a_lock_in_use() {
    alone!(|| frozen_while(Phase::OpenPresent));
}

#[test]
fn while_it_is_given_a_dead_owners_token() {
    alone!(|| frozen_while(Phase::OpenStale));
}

#[test]
fn while_it_takes_and_gives_back_undisturbed() {
    alone!(|| frozen_while(Phase::Section));
}

#[test]
fn while_it_waits_and_is_woken() {
    alone!(|| frozen_while(Phase::Contended));
}

#[test]
fn while_it_gives_back_to_sleepers() {
    alone!(|| frozen_while(Phase::Release));
}

#[test]
fn while_it_passes_on_beside_sleepers() {
    alone!(|| frozen_while(Phase::PassOn));
}

#[test]
fn while_it_takes_over_from_the_dead() {
    alone!(|| frozen_while(Phase::TakeOver));
}

#[test]
fn while_it_closes_a_lock_that_it_holds() {
    alone!(|| frozen_while(Phase::CloseHeld));
}

#[test]
fn while_it_closes_a_lock_that_another_holds() {
    alone!(|| frozen_while(Phase::CloseBeside));
}

#[test]
fn while_it_closes_as_the_last_one() {
    alone!(|| frozen_while(Phase::CloseLast));
}
