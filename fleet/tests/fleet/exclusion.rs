//! Tests mutual exclusion over machines.

use crate::scene::Scene;

#[test]
fn processes_of_three_machines_exclude_each_other() {
    const ROUNDS: u64 = 8;
    let Some(scene) = Scene::new(1) else { return };
    let mut actors: Vec<_> =
        ["a", "a", "b", "b", "c"].iter().map(|machine| scene.actor(machine)).collect();
    for actor in &mut actors {
        actor.tell(&format!("count {ROUNDS}"));
    }
    for actor in &mut actors {
        assert_eq!(actor.answer(), format!("done {ROUNDS}"));
    }
    let state = scene.store.state();
    assert_eq!(state.value, ROUNDS * actors.len() as u64, "each addition counts once");
    assert_eq!(state.refused, [0; 0]);
    state.assert_tokens_rise();
    assert_eq!(scene.queue(), 0, "nothing is left in etcd");
}

#[test]
fn one_process_of_a_machine_contends_for_the_fleet() {
    let Some(scene) = Scene::new(1) else { return };
    let [mut first, mut second, mut other] = ["a", "a", "b"].map(|machine| scene.actor(machine));
    first.locks("lock");
    assert_eq!(second.ask("try"), "busy");
    assert_eq!(scene.queue(), 1, "the machine's queue is not etcd's");
    other.tell("lock");
    scene.until_queue_has(2);
    assert_eq!(first.ask("release"), "released");
    other.has_locked();
    assert_eq!(other.ask("release"), "released");
}

#[test]
fn a_waiter_is_woken_by_the_release_in_the_order_of_arrival() {
    let Some(scene) = Scene::new(1) else { return };
    let [mut holder, mut second, mut third] = ["a", "b", "c"].map(|machine| scene.actor(machine));
    let first = holder.locks("lock");
    second.tell("lock");
    scene.until_queue_has(2);
    third.tell("lock");
    scene.until_queue_has(3);
    assert_eq!(holder.ask("release"), "released");
    let token = second.has_locked();
    assert!(token > first);
    assert_eq!(second.ask("release"), "released");
    assert!(third.has_locked() > token);
    assert_eq!(third.ask("release"), "released");
}

#[test]
fn a_time_limit_names_the_holder_and_leaves_the_queue() {
    let Some(scene) = Scene::new(1) else { return };
    let [mut holder, mut waiter] = ["a", "b"].map(|machine| scene.actor(machine));
    let token = holder.locks("lock");
    assert_eq!(waiter.ask("try"), "busy");
    let refused = waiter.ask("for 3000");
    assert!(refused.contains(&format!("(an actor), fencing token {token}")), "{refused}");
    assert_eq!(scene.queue(), 1);
    assert_eq!(holder.ask("release"), "released");
    waiter.locks("for 60000");
    assert_eq!(waiter.ask("release"), "released");
}

/// A waiter sleeps for its lease's time at most. This lease is long: only the watch wakes in time.
#[test]
fn a_waiter_is_woken_before_its_own_lease_needs_care() {
    let Some(scene) = Scene::new(1) else { return };
    let mut holder = scene.actor("a");
    let mut waiter = scene.actor_with(100, "b");
    holder.locks("lock");
    waiter.tell("lock");
    scene.until_queue_has(2);
    let member = &scene.members[0];
    let grant = member.ctl(&["lease", "grant", "20"]);
    assert_eq!(holder.ask("release"), "released");
    waiter.has_locked();
    let clock = grant.split(' ').nth(1).expect("lease ID granted …");
    assert!(member.ctl(&["lease", "list"]).contains(clock), "twenty seconds have passed");
    assert_eq!(waiter.ask("release"), "released");
}

#[test]
fn a_release_and_a_refused_try_leave_no_lease() {
    let Some(scene) = Scene::new(1) else { return };
    let mut holder = scene.actor("a");
    let mut other = scene.actor_with(600, "b"); // no lease ends by itself while a test runs
    let leases = || scene.members[0].ctl(&["lease", "list"]).lines().count() - 1; // a head line
    holder.locks("lock");
    assert_eq!(other.ask("try"), "busy");
    shmlock_tests::until(|| leases() == 1); // the refused one is revoked after the answer
    assert_eq!(holder.ask("release"), "released");
    assert_eq!(leases(), 0);
}
