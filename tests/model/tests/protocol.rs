//! Checks that the protocol's properties hold in every order of steps, within the bounds of each
//! case.

use shmlock_model::cases::{
    ANY_TOKEN, Case, DEATH, EXCHANGED, GIVING_UP, NO_TICKS, OWNER_DIES, REMOVED, STOPPED,
    STOPPED_WITH_DEADLINES, TWO_VISITS, TWO_WAYS_OF_MAKING,
};
use shmlock_model::{Bounds, Flaws, Report, search};

fn holds(case: Case) -> Report {
    let report = search(case.bounds, Flaws::NONE);
    if let Some((breach, trace)) = &report.broken {
        panic!("{}: {}: {breach}\n{trace}", case.name, breach.property());
    }
    report
}

#[test]
fn among_the_living_no_wake_is_lost_and_no_file_is_left() {
    holds(NO_TICKS);
}

#[test]
fn a_waiter_that_gives_up_leaves_no_other_waiter_asleep() {
    holds(GIVING_UP);
}

#[test]
fn a_death_before_any_step_is_reported_truly_and_stops_no_other_process() {
    holds(DEATH);
}

#[test]
fn after_the_death_of_an_owner_no_wake_is_lost() {
    holds(OWNER_DIES);
}

#[test]
fn handles_come_and_go_and_die_with_tokens_that_come_back_at_once() {
    holds(TWO_VISITS);
    holds(ANY_TOKEN);
}

#[test]
fn a_process_with_deadlines_does_not_wait_for_a_stopped_one() {
    assert!(holds(STOPPED_WITH_DEADLINES).waited_for.is_empty());
}

#[test]
fn a_removal_from_outside_makes_two_locks_and_each_of_them_is_one() {
    holds(REMOVED);
}

#[test]
fn a_file_may_be_made_in_two_steps() {
    holds(TWO_WAYS_OF_MAKING);
}

#[test]
fn a_descriptor_exchanged_at_any_step_robs_no_owner_and_unlinks_no_lock_in_use() {
    holds(EXCHANGED);
}

/// A slow owner is never robbed; and this is the whole list of steps at which slowness stops
/// others.
#[test]
fn without_deadlines_others_wait_for_a_stopped_process_only_where_the_design_says_so() {
    let waited_for = holds(STOPPED).waited_for;
    let owner = [
        "leaves the critical section",
        "swaps: declare consistent",
        "swaps: release",
        "swaps: release without a wake",
        "swaps: abandon",
    ];
    let leaked = ["unmaps A: token and presence go"];
    let recoverer = [
        "checks that B was itself when it locked",
        "reads the word again",
        "swaps: recover",
        "unlocks the owner's byte",
    ];
    let newcomer = ["swaps: token just drawn is stale?"];
    let leaver = [
        "judges link count and word",
        "compares the name with B",
        "checks that B was itself all the time",
        "unlinks the name",
        "unlocks presence and closes B",
    ];
    let mut expected = [&owner[..], &leaked, &recoverer, &newcomer, &leaver].concat();
    expected.sort_unstable();
    assert_eq!(waited_for, expected);
}

/// A search that never reaches a step says nothing about it.
#[test]
fn every_step_of_the_protocol_is_within_the_bounds() {
    let mut unreached = holds(TWO_WAYS_OF_MAKING).unreached;
    let without_removals = unreached.len();
    let elsewhere = holds(REMOVED).unreached;
    unreached.retain(|step| elsewhere.contains(step));
    assert!(unreached.is_empty(), "{unreached:?}");
    assert!(without_removals > 0, "an orphan exists only after a removal");
}

#[test]
fn one_process_alone_goes_one_way() {
    // Look up, make, B, draw, not stale, acquire, leave, release, unmap, presence, word, name,
    // itself, unlink, withdraw.
    assert_eq!(search(Bounds::of(1, 1), Flaws::NONE).states, 1 + 15);
}
