//! Tests servers that restart, vanish and come back, and a leader that dies.

use shmlock_fleet::Error;

use crate::scene::{RENEWED, Scene};

#[test]
fn a_lock_outlives_a_restart_from_the_disk() {
    let Some(mut scene) = Scene::new(1) else { return };
    let mut holder = scene.actor("a");
    let first = holder.locks("lock");
    scene.members[0].kill();
    scene.members[0].restart();
    // The key is on the disk, and its lease begins anew.
    let mut waiter = scene.actor("b");
    assert_eq!(waiter.ask("try"), "busy");
    assert_eq!(holder.ask("release"), "released");
    assert!(waiter.locks("lock") > first);
    assert_eq!(waiter.ask("release"), "released");
}

#[test]
fn a_waiter_gets_in_after_the_server_was_gone() {
    let Some(mut scene) = Scene::new(1) else { return };
    let [mut holder, mut waiter] = ["a", "b"].map(|machine| scene.actor(machine));
    let first = holder.locks("lock");
    waiter.tell("lock");
    waiter.until_watching();
    scene.members[0].kill();
    scene.members[0].restart();
    assert_eq!(holder.ask("release"), "released");
    assert!(waiter.has_locked() > first, "it has waited on");
    assert_eq!(waiter.ask("release"), "released");
}

#[test]
fn without_a_server_there_are_errors_and_then_success() {
    let Some(mut scene) = Scene::new(1) else { return };
    let lock = scene.builder("a").open().expect("no server is asked");
    let first = lock.lock().expect("it is free").fencing_token();
    scene.members[0].kill();
    for _ in 0..2 {
        let error = lock.lock().expect_err("no server");
        assert!(matches!(error, Error::NoServer { .. }), "{error}");
        assert_eq!(error.endpoint(), Some(&*scene.members[0].endpoint()));
    }
    scene.members[0].restart();
    let guard = lock.lock().expect("the server is back");
    assert!(guard.fencing_token() > first);
    guard.release().expect("it was held");
}

#[test]
fn a_cluster_of_three_outlives_its_leader() {
    let Some(mut scene) = Scene::new(3) else { return };
    let [mut holder, mut waiter] = ["a", "b"].map(|machine| scene.actor_with(RENEWED, machine));
    let first = holder.locks("lock");
    assert_eq!(holder.ask("write"), "accepted");
    waiter.tell("lock");
    waiter.until_watching();
    let leader = scene.leader();
    scene.members[leader].kill();
    let released = holder.ask("release");
    if released == "released" {
        assert!(waiter.has_locked() > first);
    } else {
        // The election took longer than a request, or than the lease.
        let answer = waiter.answer();
        assert!(answer.starts_with("locked ") || answer.starts_with("error "), "{answer}");
        if answer.starts_with("error ") {
            waiter.locks("lock");
        }
    }
    assert_eq!(waiter.ask("write"), "accepted");
    waiter.releases_or_is_late();
    scene.store.state().assert_tokens_rise();
}
