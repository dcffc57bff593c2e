//! Searches the protocol as it is.
//!
//! Each search has at least as many states as it had when it was written: a smaller one would have
//! lost some of its events.

use super::scope::{SLOW, Scope};
use super::{THREE, TWO, keeps_its_promises};

#[track_caller]
fn holds(scope: &Scope, states: usize) {
    let report = keeps_its_promises(scope);
    assert!(report.states >= states, "the search has become small: {report:?}");
}

#[test]
fn deaths_elections_and_silent_watches_at_any_time() {
    holds(&Scope { deaths: true, elections: true, silence: true, ..TWO }, 39_000);
}

/// With room for a key whose owner has died, beside those of two living contenders.
#[test]
fn processes_that_come_while_the_key_of_a_dead_one_stands() {
    holds(&Scope { deaths: true, keys: 3, ..TWO }, 41_000);
}

#[test]
fn late_and_doubled_requests_at_any_time() {
    holds(&Scope { strays: true, deaths: true, ..TWO }, 139_000);
}

#[test]
fn deletions_at_any_time() {
    holds(&Scope { deletions: true, ..TWO }, 12_000);
}

#[test]
fn deletions_and_late_puts_of_a_contender_that_does_not_renew() {
    holds(&Scope { deletions: true, strays: true, renewals: false, ..TWO }, 44_000);
}

/// One contender is enough: its own late put makes a key of its name after a deletion.
#[test]
fn deletions_and_late_puts_of_a_contender_that_renews() {
    holds(&Scope { contenders: 1, deletions: true, strays: true, ..TWO }, 2_000);
}

#[test]
fn three_contenders_of_which_any_dies_or_withdraws() {
    holds(&Scope { deaths: true, silence: true, ..THREE }, 150_000);
}

#[test]
fn contenders_that_try_once() {
    let scope = Scope { tries: true, strays: true, deaths: true, renewals: false, ..TWO };
    holds(&scope, 76_000);
}

#[test]
fn requests_that_were_sent_long_before_they_arrive() {
    holds(&Scope { slow_requests: true, ..TWO }, 12_000);
}

#[test]
fn a_longer_ttl_with_elections() {
    holds(&Scope { ttl: 3, elections: true, ..TWO }, 28_000);
}

/// The store's own judge: whether the tokens rise is not asked.
#[test]
fn writes_that_arrive_at_the_store_at_any_time() {
    holds(&Scope { writes: true, ..TWO }, 35_000);
}

/// A tenth slower, and up to a half faster: a clock that changes its rate at any tick.
#[test]
fn clocks_that_change_their_rates_within_the_bound() {
    holds(&Scope { rates: &[SLOW, 100, 150], ..TWO }, 6_000);
}

#[test]
fn fast_clocks() {
    holds(&Scope { rates: &[120], deaths: true, ..TWO }, 6_000);
}
