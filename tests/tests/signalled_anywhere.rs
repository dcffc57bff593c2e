//! Checks a process that a signal hits at any instruction.

use shmlock_tests::alone;
use shmlock_tests::step::{Fate, Phase, sweep};

/// The process ends, and its exit handlers release its locks.
mod ended {
    use super::*;

    fn ended_while(phase: Phase) {
        sweep(env!("CARGO_BIN_EXE_actor"), Fate::Ended, phase);
    }

    #[test]
    fn while_it_opens_a_new_lock() {
        alone!(|| ended_while(Phase::OpenNew));
    }

    #[test]
    fn while_it_opens_a_lock_in_use() {
        alone!(|| ended_while(Phase::OpenPresent));
    }

    #[test]
    fn while_it_draws_a_dead_owners_token() {
        alone!(|| ended_while(Phase::OpenStale));
    }

    #[test]
    fn while_it_acquires_and_releases_undisturbed() {
        alone!(|| ended_while(Phase::Section));
    }

    #[test]
    fn while_it_waits_and_is_woken() {
        alone!(|| ended_while(Phase::Contended));
    }

    #[test]
    fn while_it_releases_to_sleeping_waiters() {
        alone!(|| ended_while(Phase::Release));
    }

    #[test]
    fn while_it_recovers_from_a_dead_owner() {
        alone!(|| ended_while(Phase::TakeOver));
    }

    #[test]
    fn while_it_closes_a_lock_that_it_holds() {
        alone!(|| ended_while(Phase::CloseHeld));
    }

    #[test]
    fn while_it_closes_a_lock_that_another_holds() {
        alone!(|| ended_while(Phase::CloseBeside));
    }

    #[test]
    fn while_it_closes_the_last_handle() {
        alone!(|| ended_while(Phase::CloseLast));
    }
}

/// The process's own handler calls exit(3), whose handlers release its locks.
mod made_to_exit {
    use super::*;

    fn made_to_exit_while(phase: Phase) {
        sweep(env!("CARGO_BIN_EXE_actor"), Fate::Exited, phase);
    }

    #[test]
    fn while_it_releases_to_sleeping_waiters() {
        alone!(|| made_to_exit_while(Phase::Release));
    }
}

/// The signal's handler tries the lock by the handle that the interrupted code is using.
mod interrupted {
    use super::*;

    fn interrupted_while(phase: Phase) {
        sweep(env!("CARGO_BIN_EXE_actor"), Fate::Interrupted, phase);
    }

    #[test]
    fn while_it_acquires_and_releases_undisturbed() {
        alone!(|| interrupted_while(Phase::Section));
    }

    #[test]
    fn while_it_waits_and_is_woken() {
        alone!(|| interrupted_while(Phase::Contended));
    }

    #[test]
    fn while_it_releases_to_sleeping_waiters() {
        alone!(|| interrupted_while(Phase::Release));
    }

    #[test]
    fn while_it_recovers_from_a_dead_owner() {
        alone!(|| interrupted_while(Phase::TakeOver));
    }
}
