//! Checks that the properties of the ticket lock hold in every order of steps, within the bounds of
//! each case; and that each flaw breaks one.

use shmlock_model::ticket::cases::{
    Case, FLAWS, MANY_NUMBERS, ONE_GIVES_UP, PATIENT, THREE, THREE_BURIED, THREE_PROVEN,
    THREE_RETURN, TWO, TWO_BURIED, TWO_PROVEN, TWO_RETURN,
};
use shmlock_model::ticket::{Bounds, Report, search};

fn holds_within(name: &str, bounds: Bounds) -> Report {
    let report = search(bounds, None);
    if let Some((breach, trace)) = &report.broken {
        panic!("{name}: {breach}\n{trace}");
    }
    report
}

fn holds(case: Case) -> Report {
    holds_within(case.name, case.bounds)
}

#[test]
fn three_parties_exclude_each_other_in_the_order_in_which_they_come() {
    holds(THREE);
}

#[test]
fn a_party_that_dies_at_any_step_and_comes_back_is_counted_once_and_blocks_no_other() {
    holds(TWO_RETURN);
    holds(THREE_RETURN);
}

#[test]
fn a_party_that_never_comes_back_is_passed_by_a_burial_or_by_a_proof() {
    holds(TWO_BURIED);
    holds(TWO_PROVEN);
}

#[test]
fn a_party_that_comes_back_at_any_moment_is_not_robbed_by_a_burial_or_a_proof() {
    holds(THREE_PROVEN);
    holds(THREE_BURIED);
}

/// A search that never reaches a step says nothing about it.
#[test]
fn all_faults_together_break_nothing_and_reach_every_step() {
    // All places but `LateLife`, which is flawed, and the two from which a party comes.
    assert_eq!(holds(TWO).steps, 26);
}

#[test]
fn every_flaw_breaks_a_property() {
    for case in FLAWS {
        let report = search(case.bounds, Some(case.flaw));
        assert_eq!(report.breach(), Some(case.breach), "{:?}", case.flaw);
    }
}

/// The other bounds in which flaws are searched for are those of the tests above.
#[test]
fn without_a_flaw_the_bounds_of_the_flaws_break_nothing() {
    holds_within("patient", PATIENT);
    holds_within("one gives up", ONE_GIVES_UP);
    holds_within("many numbers", MANY_NUMBERS);
}

#[test]
fn a_counter_example_tells_each_step() {
    let case = FLAWS.first().expect("a flaw");
    let (_, trace) = search(case.bounds, Some(case.flaw)).broken.expect("a breach");
    for told in ["P1 comes", "P2 EndChoosing", "Enter", "life 1"] {
        assert!(trace.contains(told), "{told} is missing in\n{trace}");
    }
}
