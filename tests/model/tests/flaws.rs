//! Checks that the search finds flaws: each step of the protocol that is left out or reordered
//! breaks a property. A step that breaks none would not be needed. (In the same bounds the protocol
//! itself breaks none: `protocol.rs`.)

use shmlock_model::cases::FLAWS;
use shmlock_model::search;

#[test]
fn every_flaw_breaks_a_property() {
    for flaw in FLAWS {
        let report = search(flaw.case.bounds, flaw.flaws);
        assert_eq!(report.breach(), Some(flaw.breach), "{}", flaw.name);
    }
}

#[test]
fn a_counter_example_tells_each_step() {
    let flaw = FLAWS
        .into_iter()
        .find(|flaw| flaw.name == "unlink whatever the word says")
        .expect("it is there");
    let (_, trace) = search(flaw.case.bounds, flaw.flaws).broken.expect("a breach");
    let told = trace.to_string();
    assert_eq!(told.lines().count(), trace.len());
    for step in ["LEAKS ITS GUARD", "token 1 INSIDE", "unlinks the name", "nameless: 1]"] {
        assert!(told.contains(step), "{step} is missing in\n{told}");
    }
}
