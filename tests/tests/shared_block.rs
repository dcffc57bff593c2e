//! Checks the life of a block: one process creates it, the last user removes it, and torn data is
//! always reported.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;

use shmlock_tests::{Account, Actor, Fixture, actor, rounds_in_time, until};

fn path_of(name: &str) -> PathBuf {
    PathBuf::from(format!("/dev/shm/{name}.shmlock"))
}

/// Starts an actor that has opened the block as `b`.
fn user(name: &str, options: &str) -> Actor {
    let mut actor = actor!();
    actor.ask(format_args!("block b {name} {options}"));
    actor
}

#[test]
fn the_first_user_creates_a_zeroed_block_the_others_find_it_and_the_last_removes_it() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let mut first = user(&name, "");
    assert_eq!(first.ask("read b"), "0 not told");
    first.ask("fill b 7");
    let mut second = user(&name, "create=9");
    assert_eq!(second.ask("read b"), "7 not told", "the second opener created it again");
    first.ask("unblock b");
    assert_eq!(second.ask("read b"), "7 not told");
    second.ask("unblock b");
    assert!(fixture.files().is_empty());
}

#[test]
fn of_many_openers_at_once_exactly_one_creates_the_block() {
    let fixture = Fixture::new();
    for round in rounds_in_time(20) {
        let (name, account) = (fixture.name(&round.to_string()), Account::new());
        let mut actors = [(); 6].map(|()| actor!());
        for (number, actor) in actors.iter_mut().enumerate() {
            actor.tell(format_args!("block b {name} create={}:{}", number + 1, account.path()));
        }
        for actor in &mut actors {
            actor.done();
        }
        let found: Vec<_> = actors.iter_mut().map(|actor| actor.ask("read b")).collect();
        assert!(found.iter().all(|one| one == &found[0] && one.ends_with("not told")), "{found:?}");
        assert_eq!(account.rounds.load(Relaxed), 1);
    }
}

#[test]
fn a_creator_killed_inside_its_function_is_followed_by_a_waiting_opener() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let (mut doomed, mut next) = (actor!(), actor!());
    doomed.ask(format_args!("block b {name} create=stall")); // answers from inside the function
    next.tell(format_args!("block b {name} create=5 patience=60000"));
    until(|| fs::read(path_of(&name)).is_ok_and(|bytes| bytes[3] & 0x80 != 0)); // WAITERS is set
    doomed.kill();
    next.done();
    assert_eq!(next.ask("read b"), "5 not told", "the data is new, so no repair is due");
    let mut third = user(&name, "create=6");
    assert_eq!(third.ask("read b"), "5 not told");
}

#[test]
fn a_creator_killed_inside_its_function_alone_is_followed_by_the_next_opener() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let mut doomed = actor!();
    doomed.ask(format_args!("block b {name} create=stall"));
    doomed.kill();
    assert_eq!(fixture.files().len(), 1);
    assert_eq!(user(&name, "create=5").ask("read b"), "5 not told");
}

#[test]
fn a_creator_that_panics_is_followed_by_the_next_opener() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let mut lock = actor!("{name}-other"); // any actor: it must end only after the panic
    let mut doomed = actor!();
    doomed.tell(format_args!("block b {name} create=panic"));
    assert!(!doomed.wait().success());
    lock.ask("held l");
    assert_eq!(user(&name, "create=5").ask("read b"), "5 not told");
}

#[test]
fn an_opener_that_waits_too_long_for_a_creator_times_out() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let (mut slow, mut next) = (actor!(), actor!());
    slow.ask(format_args!("block b {name} create=stall"));
    assert_eq!(next.refuse(format_args!("block b {name} patience=20")), "TimedOut");
    slow.kill();
    assert_eq!(user(&name, "create=5").ask("read b"), "5 not told");
}

#[test]
fn a_killed_owner_changes_nothing_and_every_owner_learns_of_it_until_the_repair() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let (mut doomed, mut next, mut other) =
        (user(&name, "create=1"), user(&name, ""), user(&name, ""));
    doomed.ask("hold b 2");
    next.tell("read b"); // waits
    doomed.kill();
    assert_eq!(next.done(), "1 told", "the dead owner's data was copied out");
    assert_eq!(other.ask("read b"), "1 told");
    other.ask("repair b 3");
    assert_eq!(next.ask("read b"), "3 not told");
}

#[test]
fn the_died_flag_keeps_the_data_for_the_next_opener() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let mut doomed = user(&name, "create=1");
    doomed.ask("hold b 2");
    doomed.kill();
    let mut next = user(&name, "create=9");
    assert_eq!(next.ask("read b"), "1 told");
    next.ask("unblock b");
    assert_eq!(fixture.files().len(), 1, "removed before the data was declared consistent");
    let mut last = user(&name, "create=9");
    assert_eq!(last.ask("read b"), "1 told");
    last.ask("repair b 4");
    last.ask("unblock b");
    assert!(fixture.files().is_empty());
}

#[test]
fn a_block_whose_users_were_all_killed_is_replaced_by_the_next_opener() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let (mut one, mut other) = (user(&name, "create=1 schema=v1"), user(&name, "schema=v1"));
    one.ask("fill b 2");
    one.kill();
    assert_eq!(other.ask("read b"), "2 not told", "replaced while a user lives");
    other.kill();
    assert_eq!(fixture.files().len(), 1);
    assert_eq!(
        user(&name, "create=3 schema=v2").ask("read b"),
        "3 not told",
        "a new block may have another schema"
    );
}

#[test]
fn an_abandoned_lock_without_data_is_replaced_by_a_block_but_one_in_use_is_not() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let mut plain = actor!("{name}");
    let mut next = actor!();
    assert_eq!(next.refuse(format_args!("block b {name}")), "BlockMismatch");
    plain.kill();
    next.ask(format_args!("block b {name}"));
}

/// Kills writers at any moment, sometimes during the copying out, until one dies in its critical
/// section. How soon depends on the scheduler: a writer that the reader has just woken may not run
/// yet.
#[test]
fn torn_data_is_never_seen_without_a_report_of_a_death() {
    let fixture = Fixture::new();
    let name = fixture.name("b");
    let mut reader = user(&name, "create=1");
    let (mut reported, mut unreported, mut torn) = (0, 0, 0);
    let mut planned = rounds_in_time(150);
    while planned.next().is_some() || reported == 0 {
        let mut doomed = user(&name, "");
        doomed.ask("race b");
        for _ in 0..(reported + unreported) % 7 {
            assert!(!reader.ask("read b").starts_with("torn"), "torn without a death");
        }
        doomed.kill();
        let found = reader.ask("read b");
        match found.split_once(' ') {
            Some((number, "told")) => {
                reported += 1;
                torn += u32::from(number == "torn");
            }
            Some((number, _)) => {
                assert_ne!(number, "torn", "torn without a report");
                unreported += 1;
            }
            None => panic!("{found}"),
        }
        reader.ask("repair b 1");
    }
    println!(
        "{reported} of {} deaths were in a critical section, {torn} of them in the copying out",
        reported + unreported
    );
}
