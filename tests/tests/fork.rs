//! Checks that a forked child has none of its parent's locks, and that each call says so.

use shmlock_tests::{Capability, Fixture, actor, can};

/// Commands that need the region, each of which is refused in a forked child.
const REFUSED: [&str; 10] = [
    "lock l",
    "try l",
    "for l 0",
    "for l 10",
    "release l",
    "force l",
    "locked l",
    "holder l",
    "check l",
    "guard l",
];

#[test]
fn a_forked_child_is_refused_every_call_and_the_parent_is_not_disturbed() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let (mut parent, mut other) = (actor!("{name} desc=parent"), actor!("{name}"));
    for held in [false, true] {
        if held {
            parent.ask("lock l");
        }
        let mut child = parent.fork();
        for command in REFUSED {
            assert_eq!(child.refuse(command), "ForkedHandle", "{command}");
        }
        assert_eq!(child.refuse("consistent l"), "ForkedHandle");
        assert_eq!(child.refuse("describe l child"), "ForkedHandle");
        assert_eq!(child.refuse("clone m l"), "ForkedHandle");
        assert_eq!(child.ask("fence l"), "0");
        let number = child.number();
        drop(child);
        assert_eq!(parent.ask(format_args!("reap {number}")), "exit 0");
        assert_eq!(other.ask("try l"), if held { "false" } else { "true" });
        assert_eq!(other.ask("recovered l"), "no");
        other.ask("force l");
    }
    assert!(other.ask("holder l").ends_with("parent"));
    parent.ask("release l");
    assert!(parent.ask("check l").contains("healthy=true"));
}

#[test]
fn a_child_that_drops_the_handle_or_the_guard_releases_nothing() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let (mut parent, mut other) = (actor!("{name}"), actor!("{name}"));
    parent.ask("guard l");
    let mut child = parent.fork();
    child.ask("unguard");
    child.ask("close l");
    let number = child.number();
    drop(child);
    parent.ask(format_args!("reap {number}"));
    assert_eq!(other.ask("try l"), "false");
    assert_eq!(parent.ask("held l"), "true");
    parent.ask("unguard");
    assert_eq!(other.ask("try l"), "true");
    assert_eq!(other.ask("recovered l"), "no");
}

#[test]
fn a_child_that_drops_the_handle_does_not_unmap_a_later_mapping_at_its_address() {
    if !can(Capability::KeepMemoryFromChildren) {
        return;
    }
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut parent = actor!("{name}");
    let mut child = parent.fork();
    // The parent's mapping is missing here, so the child's own may get its address.
    child.ask(format_args!("open m {name}"));
    child.ask("close l");
    child.ask("lock m");
    assert_eq!(parent.ask("try l"), "false");
    child.ask("release m");
    assert_eq!(parent.ask("try l"), "true");
}

#[test]
fn a_child_opens_its_own_handle_and_waits_for_the_parent() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut parent = actor!("{name}");
    parent.ask("lock l");
    let mut child = parent.fork();
    child.ask(format_args!("open m {name}"));
    assert_eq!(child.ask("try m"), "false");
    child.tell("lock m");
    parent.sees_a_waiter();
    parent.ask("release l");
    child.done();
    assert_eq!(child.ask("recovered m"), "no");
    assert_eq!(parent.refuse("for l 1"), "TimedOut");
    assert!(parent.ask("holder l").starts_with(&child.number().to_string()), "the child's own pid");
    let number = child.number();
    drop(child);
    parent.ask(format_args!("reap {number}"));
    parent.ask("lock l");
    assert_eq!(parent.ask("recovered l"), "no");
}

#[test]
fn an_owner_is_recovered_from_although_its_forked_child_lives() {
    if !can(Capability::KeepMemoryFromChildren) {
        return;
    }
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut witness = actor!("{name}");
    for asleep in [false, true] {
        let mut owner = actor!("{name} desc=owner");
        owner.ask("lock l");
        let record = owner.ask("holder l");
        let mut child = owner.fork();
        if asleep {
            witness.tell("lock l");
            owner.sees_a_waiter();
        }
        owner.kill();
        if !asleep {
            witness.tell("lock l");
        }
        witness.done();
        assert_eq!(witness.ask("recovered l"), record);
        witness.ask("consistent l");
        assert_eq!(child.refuse("try l"), "ForkedHandle", "the child lives and holds nothing");
        witness.ask("release l");
    }
}

#[test]
fn the_death_of_a_child_does_not_make_the_owner_look_dead() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let (mut owner, mut other) = (actor!("{name}"), actor!("{name} poll=10"));
    owner.ask("lock l");
    for how in ["exit", "_exit", "abort", "segv", "exec", "return", "panic"] {
        let mut child = owner.fork();
        child.tell(format_args!("die {how}"));
        owner.ask(format_args!("reap {}", child.number()));
        assert_eq!(other.ask("try l"), "false", "{how}");
        assert!(other.ask("check l").contains("Held(Alive)"), "{how}");
    }
    assert_eq!(other.refuse("for l 50"), "TimedOut");
    owner.ask("release l");
    assert_eq!(other.ask("try l"), "true");
    assert_eq!(other.ask("recovered l"), "no");
}

#[test]
fn a_grandchild_is_refused_the_handles_of_every_ancestor() {
    if !can(Capability::KeepMemoryFromChildren) {
        return;
    }
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut parent = actor!("{name}");
    parent.ask("lock l");
    let mut child = parent.fork();
    child.ask(format_args!("open m {name}"));
    let mut grandchild = child.fork();
    assert_eq!(grandchild.refuse("try l"), "ForkedHandle");
    assert_eq!(grandchild.refuse("try m"), "ForkedHandle");
    grandchild.ask(format_args!("open n {name}"));
    assert_eq!(grandchild.ask("try n"), "false");
    assert_eq!(
        grandchild.refuse("try l"),
        "ForkedHandle",
        "opening its own handle must not revive the others"
    );
    assert_eq!(grandchild.refuse("try m"), "ForkedHandle");
    assert_eq!(child.ask("try m"), "false", "the child's own handle works");
    assert_eq!(child.refuse("try l"), "ForkedHandle");
    parent.ask("release l");
    grandchild.ask("lock n");
    assert_eq!(child.ask("try m"), "false");
    assert_eq!(parent.ask("try l"), "false");
}

#[test]
fn a_thread_of_a_child_is_not_confused_with_the_parents_thread() {
    if !can(Capability::KeepMemoryFromChildren) {
        return;
    }
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut parent = actor!("{name}");
    parent.ask("lock l");
    let mut child = parent.fork();
    child.ask(format_args!("open m {name}"));
    assert_eq!(child.refuse("for m 1"), "TimedOut", "waiting for the parent is no deadlock");
    child.ask(format_args!("open n {name}"));
    parent.ask("release l");
    child.ask("lock n");
    assert_eq!(child.refuse("lock m"), "WouldDeadlock", "waiting for itself is a deadlock");
}

#[test]
fn an_inherited_named_event_is_refused_and_still_works_in_the_parent() {
    if !can(Capability::KeepMemoryFromChildren) || !can(Capability::SleepOnTwoWords) {
        return;
    }
    let fixture = Fixture::new();
    let (name, stop) = (fixture.name("l"), fixture.name("stop"));
    let (mut holder, mut parent) = (actor!("{name}"), actor!());
    holder.ask("lock l");
    parent.ask(format_args!("event e {stop}"));
    parent.ask(format_args!("open l {name} event=e poll=3600000"));
    let mut child = parent.fork();
    assert_eq!(child.refuse("set e"), "ForkedHandle");
    assert_eq!(child.refuse("clear e"), "ForkedHandle");
    child.ask(format_args!("open m {name} event=e"));
    assert_eq!(child.refuse("lock m"), "ForkedHandle", "waiting beside the parent's event");
    // The child's own event of that name is the same event, and reaches the parent.
    child.ask(format_args!("event own {stop}"));
    parent.tell("lock l");
    holder.sees_a_waiter();
    child.ask("set own");
    assert_eq!(parent.failed(), "Cancelled");
    let number = child.number();
    drop(child);
    parent.ask(format_args!("reap {number}"));
    assert_eq!(parent.refuse("lock l"), "Cancelled", "the child's end removed the event");
}

#[test]
fn children_do_not_keep_the_file() {
    if !can(Capability::KeepMemoryFromChildren) {
        return;
    }
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut parent = actor!("{name}");
    let mut child = parent.fork();
    parent.ask("close l");
    assert!(fixture.files().is_empty(), "the child's copy counts as a presence");
    child.ask("close l");
    child.ask(format_args!("open m {name}"));
    assert_eq!(fixture.files().len(), 1);
    child.ask("close m");
    assert!(fixture.files().is_empty());
}

#[test]
fn every_call_in_a_forked_child_is_an_error() {
    if !can(Capability::KeepMemoryFromChildren) {
        return;
    }
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut parent = actor!("{name}");
    for acquire in ["guard l", "lock l"] {
        parent.ask(acquire);
        let mut child = parent.fork();
        let answers = child.ask("every l");
        assert!(
            answers.contains("try_lock_until") && answers.contains("set_description"),
            "{answers}"
        );
        for answer in answers.split_whitespace() {
            assert!(answer.ends_with("=ForkedHandle"), "{answer}");
        }
        if acquire == "guard l" {
            assert_eq!(child.refuse("unguard release"), "ForkedHandle");
        }
    }
    parent.ask("release l");
    parent.ask("unguard");
}
