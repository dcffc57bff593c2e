//! Tests a holder that dies, is stopped, or loses its key, and the state of the lock then.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use shmlock_fleet::shmlock::ExitEvent;
use shmlock_fleet::{Error, Loss};

use crate::scene::{LONG, RENEWED, SHORT, Scene};

#[test]
fn the_successor_of_a_killed_holder_gets_in() {
    let Some(scene) = Scene::new(1) else { return };
    let (mut holder, mut successor) = (scene.actor_with(SHORT, "a"), scene.actor("b"));
    let first = holder.locks("lock");
    successor.tell("lock");
    scene.until_queued(&successor);
    holder.kill();
    assert!(successor.has_locked() > first);
    assert_eq!(successor.ask("release"), "released");
    // The dead holder's machine is not blocked either.
    let mut next = scene.actor("a");
    next.locks("lock");
    assert_eq!(next.ask("release"), "released");
}

#[test]
fn a_stopped_holder_finds_itself_lost_and_the_store_refuses_its_write() {
    let Some(scene) = Scene::new(1) else { return };
    let (mut holder, mut successor) = (scene.actor_with(SHORT, "a"), scene.actor("b"));
    let first = holder.locks("lock");
    assert_eq!(holder.ask("write"), "accepted");
    holder.signal(Signal::STOP);
    let second = successor.locks("lock");
    assert!(second > first);
    assert_eq!(successor.ask("write"), "accepted");
    holder.tell("write"); // its next action: it does not look at its deadline first
    holder.signal(Signal::CONT);
    assert_eq!(holder.answer(), "refused");
    assert_eq!(holder.ask("lost"), "true");
    assert!(holder.ask("release").contains("was lost"));
    assert_eq!(scene.queue(), 1, "the release left the successor's key alone");
    let state = scene.store.state();
    state.assert_tokens_rise();
    assert_eq!((state.accepted.clone(), state.refused.clone()), (vec![first, second], vec![first]));
    drop(state);
    assert_eq!(successor.ask("release"), "released");
    let mut local = scene.actor("a");
    local.locks("lock");
    assert_eq!(local.ask("release"), "released");
}

#[test]
fn a_stopped_waiter_begins_again_and_gets_in() {
    let Some(scene) = Scene::new(1) else { return };
    let (mut holder, mut waiter) = (scene.actor("a"), scene.actor_with(SHORT, "b"));
    let first = holder.locks("lock");
    waiter.tell("lock");
    waiter.until_watching();
    scene.until_queue_has(2);
    waiter.signal(Signal::STOP);
    scene.until_queue_has(1);
    waiter.signal(Signal::CONT);
    scene.until_queue_has(2);
    assert_eq!(holder.ask("release"), "released");
    assert!(waiter.has_locked() > first);
    waiter.releases_or_is_late();
}

#[test]
fn a_waiter_whose_key_is_deleted_queues_again() {
    let Some(scene) = Scene::new(1) else { return };
    let (mut holder, mut waiter) = (scene.actor("a"), scene.actor_with(RENEWED, "b"));
    let first = holder.locks("lock");
    waiter.tell("lock");
    scene.until_queue_has(2);
    let order = ["--prefix", "--keys-only", "--sort-by=CREATE"];
    let keys = scene.members[0].ctl(&[&["get", &scene.prefix()], &order[..]].concat());
    scene.members[0].ctl(&["del", keys.lines().rfind(|line| !line.is_empty()).expect("a key")]);
    // It must not take the empty place for its turn.
    scene.until_queue_has(2);
    assert_eq!(holder.ask("write"), "accepted");
    assert_eq!(holder.ask("release"), "released");
    assert!(waiter.has_locked() > first + 1);
    assert_eq!(waiter.ask("write"), "accepted");
    waiter.releases_or_is_late();
    assert!(scene.store.state().refused.is_empty());
}

#[test]
fn a_deleted_key_is_an_event_for_its_holder() {
    let Some(scene) = Scene::new(1) else { return };
    let (tell, told) = channel();
    let event = ExitEvent::new();
    let lock = scene
        .builder("a")
        // The next renewal finds out, not the deadline, however busy the machine is.
        .ttl(Duration::from_secs(RENEWED))
        .loss_event(&event)
        .on_loss(move |loss| tell.send(loss).expect("the test listens"))
        .open()
        .expect("a lock");
    let guard = lock.lock().expect("it is free");
    assert!(!guard.is_lost() && !event.is_set().expect("an event"));
    scene.members[0].ctl(&["del", "--prefix", &scene.prefix()]);
    assert_eq!(told.recv(), Ok(Loss::KeyGone));
    assert!(guard.is_lost() && event.is_set().expect("an event"));
    assert_eq!((guard.time_left(), guard.overdue()), (Duration::ZERO, Duration::ZERO));
    assert!(matches!(guard.check(), Err(Error::Lost { loss: Loss::KeyGone, .. })));
    assert!(guard.release().is_err_and(|error| error.is_lost()));
    lock.lock().expect("the local lock is free").release().expect("it was held");
    assert!(told.try_recv().is_err(), "a loss is told once");
}

#[test]
fn a_holder_without_servers_loses_at_its_own_deadline() {
    let Some(mut scene) = Scene::new(1) else { return };
    let (tell, told) = channel();
    let callback = move |loss| tell.send(loss).expect("the test listens");
    let ttl = Duration::from_secs(SHORT);
    let lock = scene.builder("a").ttl(ttl).request_timeout(ttl).on_loss(callback);
    let lock = lock.open().expect("a lock");
    let guard = lock.lock().expect("it is free");
    assert!(guard.time_left() <= ttl * 9 / 10, "the margin is a tenth");
    scene.members[0].kill();
    let overdue = guard.overdue();
    assert!(overdue.is_zero() || guard.is_lost(), "overdue before the deadline");
    assert_eq!(told.recv(), Ok(Loss::DeadlinePassed));
    assert!(guard.is_lost() && guard.overdue() > Duration::ZERO);
    drop(guard);
    scene.members[0].restart();
    let begin = Instant::now();
    let outcome = lock.lock().expect("the local lock is free").release();
    // A busy machine may be slower than the lease.
    let may_be_late = begin.elapsed() >= ttl * 9 / 10;
    let is_late = matches!(outcome, Err(Error::Lost { loss: Loss::DeadlinePassed, .. }));
    assert!(outcome.is_ok() || may_be_late && is_late, "{outcome:?}");
}

#[test]
fn a_holder_outlives_its_ttl_by_renewals() {
    let Some(scene) = Scene::new(1) else { return };
    let ttl = Duration::from_secs(RENEWED);
    let lock = scene.builder("a").ttl(ttl).open().expect("a lock");
    let guard = lock.lock().expect("it is free");
    let lease = scene.members[0].ctl(&["lease", "list"]);
    // A second lease, without renewals, that is younger: it ends later than ours would.
    let grant = scene.members[0].ctl(&["lease", "grant", &RENEWED.to_string()]);
    let other = grant.split(' ').nth(1).expect("lease ID granted …");
    shmlock_tests::until(|| !scene.members[0].ctl(&["lease", "list"]).contains(other));
    assert!(!guard.is_lost());
    let own = lease.lines().last().expect("a lease");
    assert!(scene.members[0].ctl(&["lease", "list"]).contains(own));
    guard.release().expect("it was held");
}

#[test]
fn a_handle_does_not_nest() {
    let Some(scene) = Scene::new(1) else { return };
    let lock = scene.builder("a").open().expect("a lock");
    let guard = lock.lock().expect("it is free");
    assert!(matches!(lock.lock(), Err(Error::Nested { .. })));
    assert!(matches!(lock.try_lock(), Err(Error::Nested { .. })));
    guard.release().expect("it was held");
    assert!(lock.try_lock().expect("servers answer").is_some());
}

#[test]
fn an_exit_event_ends_the_wait_for_the_fleet() {
    let Some(scene) = Scene::new(1) else { return };
    let holder = scene.builder("a").open().expect("a lock");
    let guard = holder.lock().expect("it is free");
    let stop = ExitEvent::new();
    let waiter = scene.builder("b").exit_event(&stop);
    // On a busy machine a withdrawal takes long, and the call would return before its end.
    let waiter = waiter.withdrawal_time(Duration::from_secs(LONG)).open().expect("a lock");
    let waiting = std::thread::spawn(move || waiter.lock().map(drop));
    scene.until_queue_has(2);
    stop.set().expect("an event");
    let ended = waiting.join().expect("no panic");
    assert!(ended.is_err_and(|error| error.is_cancelled()));
    assert_eq!(scene.queue(), 1, "the waiter has left");
    guard.release().expect("it was held");
}
