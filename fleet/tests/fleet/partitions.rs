//! Tests partitions between clients and members, without a reset: requests and answers do not
//! arrive, and connections stay.

use std::sync::mpsc::channel;
use std::time::Duration;

use shmlock_fleet::{FleetGuard, FleetLock, Loss};
use shmlock_tests::network::Way;

use crate::scene::{LONG, RENEWED, SHORT, Scene};

/// Cuts a holder off from all members by `cut`; the successor gets in, and the judge decides.
///
/// One member, because it has no elections: the holder has lost at that very moment.
fn a_cut_off_holder_loses(cut: impl Fn(&Way)) {
    let Some(scene) = Scene::new(1) else { return };
    let ways = scene.ways();
    let mut holder = scene.actor_by(SHORT, "a", &ways);
    let mut successor = scene.actor("b");
    let first = holder.locks("lock");
    assert_eq!(holder.ask("write"), "accepted");
    successor.tell("lock");
    scene.until_queued(&successor);
    ways.iter().for_each(cut);
    let second = successor.has_locked();
    assert_eq!(holder.ask("lost"), "true", "the own deadline comes before the lease's end");
    assert!(second > first);
    assert_eq!(successor.ask("write"), "accepted");
    assert_eq!(holder.ask("write"), "refused");
    assert!(!holder.releases_if_held()); // while it is cut off
    ways.iter().for_each(Way::open);
    assert_eq!(scene.queue(), 1, "the release left the successor's key alone");
    assert_eq!(successor.ask("release"), "released");
    scene.settle(&mut [("a", &mut holder), ("b", &mut successor)]);
}

#[test]
fn a_holder_cut_off_from_all_members_loses_before_its_successor_gets_in() {
    a_cut_off_holder_loses(Way::hold);
}

#[test]
fn a_holder_whose_requests_do_not_arrive_loses_before_its_successor_gets_in() {
    a_cut_off_holder_loses(|way| way.requests.hold());
}

/// Its renewals arrive at the members and count there, but it knows of none: it loses. The key
/// stays for as long as its keeper asks.
#[test]
fn a_holder_that_gets_no_answers_loses_by_its_own_deadline() {
    a_cut_off_holder_loses(|way| way.answers.hold());
}

#[test]
fn a_holder_cut_off_from_one_member_goes_on_with_the_others() {
    let Some(scene) = Scene::new(3) else { return };
    for cut_off in 0..3 {
        let ways = scene.ways();
        let mut holder = scene.actor_by(RENEWED, "a", &ways);
        holder.locks("lock");
        ways[cut_off].hold();
        holder.until_renewed();
        holder.until_renewed();
        assert_eq!(holder.ask("write"), "accepted");
        holder.releases_or_is_late();
        ways[cut_off].open();
        scene.settle(&mut [("a", &mut holder)]);
    }
}

#[test]
fn a_waiter_cut_off_from_all_members_gets_in_afterwards() {
    let Some(scene) = Scene::new(3) else { return };
    let ways = scene.ways();
    let [mut holder, mut third] = ["a", "c"].map(|machine| scene.actor(machine));
    let mut waiter = scene.actor_by(SHORT, "b", &ways);
    let first = holder.locks("lock");
    waiter.tell("lock");
    scene.until_queue_has(2);
    third.tell("lock");
    scene.until_queue_has(3);
    ways.iter().for_each(Way::hold);
    assert_eq!(holder.ask("release"), "released");
    let token = third.has_locked(); // after the lease of the one before it has ended
    assert!(token > first);
    assert_eq!(third.ask("release"), "released");
    ways.iter().for_each(Way::open);
    waiter.gets_in();
    waiter.releases_if_held();
    scene.settle(&mut [("a", &mut holder), ("b", &mut waiter), ("c", &mut third)]);
}

#[test]
fn a_release_that_cannot_be_sent_delays_the_others_by_a_lease_only() {
    let Some(scene) = Scene::new(3) else { return };
    let ways = scene.ways();
    let mut holder = scene.actor_by(SHORT, "a", &ways);
    let mut waiter = scene.actor("b");
    let first = holder.locks("lock");
    waiter.tell("lock");
    scene.until_queued(&waiter);
    ways.iter().for_each(Way::hold);
    assert!(!holder.releases_if_held(), "the release has failed");
    assert!(waiter.has_locked() > first);
    ways.iter().for_each(Way::open);
    assert_eq!(waiter.ask("write"), "accepted");
    assert_eq!(waiter.ask("release"), "released");
    scene.settle(&mut [("a", &mut holder), ("b", &mut waiter)]);
}

#[test]
fn late_answers_and_late_members_change_no_account() {
    const ROUNDS: u64 = 3;
    let Some(scene) = Scene::networked() else { return };
    scene.network.delay(Duration::from_millis(10));
    let ways: Vec<Vec<Way>> = (0..3).map(|_| scene.ways()).collect();
    ways.iter().flatten().for_each(|way| way.delay(Duration::from_millis(20)));
    // A request may take a quarter of the TTL: this test is not about requests that are given up.
    let contender = |(machine, ways): (&&str, &Vec<Way>)| scene.actor_by(LONG, machine, ways);
    let mut actors: Vec<_> = ["a", "b", "c"].iter().zip(&ways).map(contender).collect();
    for actor in &mut actors {
        actor.tell(&format!("count {ROUNDS}"));
    }
    for actor in &mut actors {
        assert_eq!(actor.answer(), format!("done {ROUNDS}"));
    }
    let state = scene.store.state();
    assert_eq!((state.value, state.refused.len()), (3 * ROUNDS, 0));
    drop(state);
    let mut actors = actors.iter_mut();
    let mut next = || actors.next().expect("an actor");
    scene.settle(&mut [("a", next()), ("b", next()), ("c", next())]);
}

/// The lease's time begins when the server grants it, not when the late answer arrives.
#[test]
fn a_deadline_counts_from_the_request_although_the_grant_is_late() {
    a_late_answer_prolongs_no_hold(|way, lock| {
        way.answers.delay_once(Duration::from_millis(1100));
        lock.lock().expect("the lease still lives")
    });
}

/// As does the time of each renewal.
#[test]
fn a_deadline_counts_from_the_request_although_the_renewal_is_late() {
    a_late_answer_prolongs_no_hold(|way, lock| {
        let guard = lock.lock().expect("it is free");
        // Later than margin and etcd's own delay, and before the next renewal is due.
        way.answers.delay_once(Duration::from_millis(1200));
        let mut before = Duration::MAX;
        shmlock_tests::until(|| {
            let left = guard.time_left();
            let is_renewed = left > before;
            before = left;
            is_renewed || guard.is_lost() // lost: a busy machine
        });
        guard
    });
}

/// Holds by `hold`, during which an answer is later than margin and etcd's own delay. Then the
/// holder is cut off, and has lost when the successor gets in.
fn a_late_answer_prolongs_no_hold(
    hold: impl for<'a> FnOnce(&Way, &'a FleetLock) -> FleetGuard<'a>,
) {
    let Some(scene) = Scene::new(1) else { return };
    let way = Way::to(scene.members[0].socket());
    let (tell, told) = channel();
    let lock = scene
        .builder_at("a", [way.endpoint()])
        .ttl(Duration::from_secs(8))
        .margin(Duration::from_millis(50))
        .request_timeout(Duration::from_secs(6))
        .on_loss(move |loss| tell.send(loss).expect("the test listens"))
        .open()
        .expect("a lock");
    let mut successor = scene.actor("b");
    let guard = hold(&way, &lock);
    way.hold();
    successor.locks("lock");
    assert!(guard.is_lost(), "the lease has ended before the own deadline");
    assert_eq!(told.recv(), Ok(Loss::DeadlinePassed));
    drop(guard);
    way.open();
    assert_eq!(successor.ask("release"), "released");
    scene.settle(&mut [("b", &mut successor)]);
}
