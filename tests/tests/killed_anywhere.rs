//! Checks a process that is killed at any instruction: no waiter hangs, the next owner learns of
//! the death, and no file is left.

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
fn while_it_draws_a_dead_owners_token() {
    alone!(|| killed_while(Phase::OpenStale));
}

#[test]
fn while_it_acquires_and_releases_undisturbed() {
    alone!(|| killed_while(Phase::Section));
}

#[test]
fn while_it_waits_and_is_woken() {
    alone!(|| killed_while(Phase::Contended));
}

#[test]
fn while_it_releases_to_sleeping_waiters() {
    alone!(|| killed_while(Phase::Release));
}

#[test]
fn while_it_recovers_from_a_dead_owner() {
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
fn while_it_closes_the_last_handle() {
    alone!(|| killed_while(Phase::CloseLast));
}
