//! Checks locks whose file is removed while they are in use, as rm(1) and systemd-logind do.

use std::fs;

use shmlock_tests::{Actor, Fixture, actor, until};

fn remove(name: &str) {
    fs::remove_file(format!("/dev/shm/{name}.shmlock")).unwrap();
}

#[test]
fn a_waiter_gets_an_error_when_the_file_is_removed() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    for options in ["wait=futex poll=5", "wait=poll poll=5"] {
        let (mut holder, mut waiter) = (actor!("{name}"), actor!("{name} {options}"));
        holder.ask("lock l");
        waiter.tell("lock l");
        if options.contains("futex") {
            holder.sees_a_waiter();
        }
        remove(&name);
        assert_eq!(waiter.failed(), "Orphaned");
        for actor in [&mut holder, &mut waiter] {
            let health = actor.ask("check l");
            assert!(
                health.contains("orphaned=true") && health.contains("healthy=false"),
                "{health}"
            );
        }
    }
}

#[test]
fn closing_a_removed_lock_leaves_its_successor_alone() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut old: Vec<Actor> = (0..2).map(|_| actor!("{name}")).collect();
    old[0].ask("lock l");
    old[0].ask("release l");
    remove(&name);
    let mut new = actor!("{name}");
    new.ask("lock l");
    assert!(new.ask("check l").contains("orphaned=false"));
    drop(old);
    assert_eq!(fixture.files().len(), 1);
    let mut next = actor!("{name}");
    assert_eq!(next.ask("try l"), "false", "the same lock as before");
    new.ask("release l");
    assert_eq!(next.ask("try l"), "true");
}

#[test]
fn a_removed_lock_cannot_be_cloned() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut actor = actor!("{name}");
    remove(&name);
    assert_eq!(actor.refuse("clone m l"), "Orphaned");
    assert!(fixture.files().is_empty(), "the attempt left a file");
}

#[test]
fn a_removed_lock_is_not_recovered_from_its_dead_owner() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let (mut owner, mut next) = (actor!("{name}"), actor!("{name} poll=3600000"));
    owner.ask("lock l");
    remove(&name);
    owner.kill();
    until(|| next.ask("check l").contains("Held(Dead)"));
    assert_eq!(
        next.refuse("lock l"),
        "Orphaned",
        "another process may hold a new lock of that name"
    );
    assert_eq!(next.ask("held l"), "false");
}
