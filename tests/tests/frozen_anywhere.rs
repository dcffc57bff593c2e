//! Checks a process that is stopped at any instruction: it is never judged dead, and it blocks no
//! lock that it does not hold.

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
fn while_it_draws_a_dead_owners_token() {
    alone!(|| frozen_while(Phase::OpenStale));
}

#[test]
fn while_it_acquires_and_releases_undisturbed() {
    alone!(|| frozen_while(Phase::Section));
}

#[test]
fn while_it_waits_and_is_woken() {
    alone!(|| frozen_while(Phase::Contended));
}

#[test]
fn while_it_releases_to_sleeping_waiters() {
    alone!(|| frozen_while(Phase::Release));
}

#[test]
fn while_it_recovers_from_a_dead_owner() {
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
fn while_it_closes_the_last_handle() {
    alone!(|| frozen_while(Phase::CloseLast));
}
