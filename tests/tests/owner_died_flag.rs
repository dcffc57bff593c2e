//! Checks what a recovery leaves: the DIED flag, the report to each next owner, and the count of
//! recoveries.

use shmlock_tests::{Actor, Fixture, actor};

#[test]
fn a_death_is_reported_until_an_owner_declares_the_data_consistent() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let (mut dead, mut first, mut second) = (actor!("{name}"), actor!("{name}"), actor!("{name}"));
    assert!(first.ask("check l").contains("healthy=true"));
    dead.ask("lock l");
    dead.kill();
    let health = first.ask("check l");
    assert!(health.contains("Held(Dead)") && health.contains("healthy=false"), "{health}");
    assert!(
        health.contains("owner_died=false recoveries=0"),
        "a status query changed the lock: {health}"
    );

    for actor in [&mut first, &mut second] {
        actor.ask("lock l");
        assert_ne!(actor.ask("recovered l"), "no");
        actor.ask("release l");
        assert_eq!(actor.ask("recovered l"), "no", "a handle that does not hold got the report");
        let health = actor.ask("check l");
        assert!(
            health.contains("Unlocked") && health.contains("owner_died=true recoveries=1"),
            "{health}"
        );
        assert!(health.contains("healthy=false"), "{health}");
        assert_eq!(
            actor.refuse("consistent l"),
            "NotHeld",
            "only the owner may declare the data consistent"
        );
    }
    first.ask("lock l");
    first.ask("consistent l");
    assert_eq!(first.ask("recovered l"), "no");
    assert!(first.ask("check l").contains("owner_died=false"));
    first.ask("release l");
    second.ask("lock l");
    assert_eq!(second.ask("recovered l"), "no");
    assert!(second.ask("check l").contains("healthy=true"));
}

#[test]
fn recoveries_are_counted() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut witness = actor!("{name}");
    for count in 1..=5 {
        let mut dead = actor!("{name}");
        dead.ask("lock l");
        dead.kill();
        witness.ask("lock l");
        assert!(witness.ask("check l").contains(&format!("recoveries={count} ")));
        witness.ask("release l");
    }
    witness.ask("lock l");
    witness.ask("consistent l");
}

#[test]
fn an_owner_that_recovered_and_dies_is_recovered_from_in_turn() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut all: Vec<Actor> = (0..4).map(|_| actor!("{name}")).collect();
    all[0].ask("lock l");
    for next in 1..all.len() {
        let record = all[next - 1].ask("holder l");
        all[next].tell("lock l");
        all[next - 1].sees_a_waiter();
        all[next - 1].kill();
        all[next].done();
        assert_eq!(all[next].ask("recovered l"), record);
    }
    all[3].ask("consistent l");
}

#[test]
fn the_died_flag_keeps_the_file_until_the_data_is_declared_consistent() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut dead = actor!("{name} desc=alone");
    dead.ask("lock l");
    let record = dead.ask("holder l");
    dead.kill();
    assert_eq!(fixture.files().len(), 1, "the dead owner's file is gone");

    let mut reader = actor!("{name}");
    assert_eq!(reader.ask("holder l"), record, "the dead owner's record is gone");
    drop(reader);
    assert_eq!(fixture.files().len(), 1, "a reader removed the file");

    let mut careless = actor!("{name}");
    careless.ask("lock l");
    assert_eq!(careless.ask("recovered l"), record);
    drop(careless);
    assert_eq!(fixture.files().len(), 1, "an owner that did not repair the data removed the file");

    let mut careful = actor!("{name}");
    careful.ask("lock l");
    assert_eq!(careful.ask("recovered l"), "somebody");
    careful.ask("consistent l");
    drop(careful);
    assert!(fixture.files().is_empty(), "the last close did not remove the file after the repair");
}
