//! The search finds what it is made to find: each step of the protocol that is left out or done in another order breaks
//! a promise. What would break none would not be needed. (In the same bounds the protocol itself breaks none: `protocol.rs`.)

use shmlock_model::cases::{COVERED, DEATH, FLAWS, NO_TICKS, REMOVED, STOPPED_WITH_DEADLINES, TWO_WAYS_OF_MAKING};
use shmlock_model::{Flaws, search};

#[test]
fn every_flaw_breaks_a_promise() {
    for flaw in FLAWS {
        let report = search(flaw.case.bounds, flaw.flaws);
        assert_eq!(report.breach(), Some(flaw.breach), "{}", flaw.name);
    }
}

/// Opening looks at the link count, and later compares the names of A and B. The second sees all that the first sees.
#[test]
fn the_comparison_of_a_and_b_makes_up_for_the_link_count_and_for_late_presence() {
    for flaw in COVERED {
        for case in [NO_TICKS, DEATH, STOPPED_WITH_DEADLINES, REMOVED, TWO_WAYS_OF_MAKING] {
            assert_eq!(search(case.bounds, Flaws::only(flaw)).breach(), None, "{flaw:?}: {}", case.name);
        }
    }
}

#[test]
fn a_counter_example_tells_each_step() {
    let flaw = FLAWS.into_iter().find(|flaw| flaw.name == "unlink whatever the word says").expect("it is there");
    let (_, trace) = search(flaw.case.bounds, flaw.flaws).broken.expect("a breach");
    let told = trace.to_string();
    assert_eq!(told.lines().count(), trace.len());
    for step in ["LEAKS ITS GUARD", "token 1 INSIDE", "unlinks the name", "nameless: 1]"] {
        assert!(told.contains(step), "{step} is missing in\n{told}");
    }
}
