//! Searches the mutants: each breaks a promise, or shows a limit that the documentation states.

use super::flaw::Flaw;
use super::scope::{Breach, SLOW, Scope};
use super::{THREE, TWO, keeps_its_promises, search};

/// Checks that this promise breaks first.
#[track_caller]
fn breaks(scope: &Scope, breach: Breach) {
    let broken = search(scope).map_err(|(breach, _)| breach);
    assert_eq!(broken.expect_err("a promise breaks"), breach);
}

#[test]
fn without_its_own_deadline_a_holder_overlaps_its_successor() {
    breaks(&TWO.with(Flaw::NoOwnDeadline), Breach::TwoHolders);
}

#[test]
fn a_deadline_that_counts_from_the_answer_comes_too_late() {
    breaks(&TWO.with(Flaw::DeadlineFromAnswer), Breach::TwoHolders);
}

#[test]
fn without_a_margin_a_slow_clock_overlaps() {
    breaks(&TWO.with(Flaw::NoMargin), Breach::TwoHolders);
}

/// At [`SLOW`] no two hold: `holds` has that. The bound is the ratio of margin to TTL.
#[test]
fn a_clock_that_is_slower_than_the_margin_allows_overlaps() {
    breaks(&Scope { rates: &[SLOW - 1], ..TWO }, Breach::TwoHolders);
    breaks(&Scope { rates: &[SLOW - 1], ttl: 3, ..TWO }, Breach::TwoHolders);
}

#[test]
fn a_clock_that_stands_still_while_suspended_overlaps() {
    breaks(&Scope { rates: &[SLOW, 0], ..TWO }, Breach::TwoHolders);
}

#[test]
fn a_loss_that_a_late_renewal_undoes_is_none() {
    breaks(&TWO.with(Flaw::LossUndone), Breach::LossUndone);
}

#[test]
fn without_comparing_the_terms_a_former_leader_prolongs_a_hold() {
    let scope = Scope { elections: true, ..TWO };
    breaks(&scope.with(Flaw::NoTermCheck), Breach::TwoHolders);
}

#[test]
fn a_reading_before_the_keep_alive_confirms_nothing() {
    let scope = Scope { elections: true, ..TWO };
    breaks(&scope.with(Flaw::ReadingFirst), Breach::TwoHolders);
}

#[test]
fn without_the_create_revision_a_key_put_again_passes_for_the_former() {
    let scope = Scope { deletions: true, strays: true, ..TWO };
    breaks(&scope.with(Flaw::NoRevisionCheck), Breach::RenewedWithoutKey);
}

#[test]
fn a_first_place_without_the_deadline_is_lost_at_once() {
    breaks(&TWO.with(Flaw::NoCheckAtFirst), Breach::AcquiredLost);
}

#[test]
fn a_waiter_that_wakes_is_not_first_if_its_predecessor_withdraws() {
    breaks(&THREE.with(Flaw::NoReadingAfterWake), Breach::TwoHolders);
}

#[test]
fn a_token_from_the_lease_does_not_follow_the_order_of_holders() {
    let scope = TWO.with(Flaw::TokenFromLease);
    breaks(&scope, Breach::TokenNotRisen);
    breaks(&Scope { writes: true, ..scope }, Breach::WentBack);
}

#[test]
fn a_key_without_a_lease_outlives_its_owner() {
    let scope = Scope { deaths: true, ..TWO };
    breaks(&scope.with(Flaw::KeyWithoutLease), Breach::Stuck);
}

#[test]
fn a_name_without_the_lease_takes_the_key_of_the_dead_for_its_own() {
    let scope = Scope { deaths: true, ..TWO };
    breaks(&scope.with(Flaw::NameWithoutLease), Breach::TokenNotRisen);
}

#[test]
fn a_watch_of_the_first_key_wakes_in_vain() {
    breaks(&THREE.with(Flaw::WatchFirst), Breach::WokenInVain);
}

#[test]
fn a_watch_of_other_keys_oversleeps() {
    breaks(&TWO.with(Flaw::WatchAfter), Breach::Overslept);
    breaks(&TWO.with(Flaw::WatchNothing), Breach::Overslept);
    let scope = Scope { deletions: true, ..TWO };
    breaks(&scope.with(Flaw::WatchNotOwn), Breach::Overslept);
}

#[test]
fn a_watch_from_now_misses_a_deletion_since_the_reading() {
    breaks(&TWO.with(Flaw::WatchFromNow), Breach::Overslept);
}

/// A limit: a leader that hung may revoke living leases. The tokens still rise.
#[test]
fn a_lease_that_ends_early_makes_two_holders_and_the_token_protects() {
    let scope = TWO.with(Flaw::EarlyEnd);
    breaks(&scope, Breach::TwoHolders);
    keeps_its_promises(&Scope { exclusion: false, renewals: false, ..scope });
}

/// A limit: restored servers give tokens a second time.
#[test]
fn servers_restored_from_an_older_state_repeat_tokens() {
    let scope = Scope { exclusion: false, ..TWO }.with(Flaw::Restored);
    breaks(&scope, Breach::TokenNotRisen);
    breaks(&Scope { writes: true, renewals: false, ..scope }, Breach::WentBack);
}
