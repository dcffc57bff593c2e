//! Tests the look from outside, and the freeing of a lock.

use std::time::{Duration, SystemTime};

use shmlock_fleet::{Error, Fleet};

use crate::scene::{LONG, Scene};

fn open(scene: &Scene) -> Fleet {
    let patient = Duration::from_secs(LONG);
    Fleet::access(scene.endpoints()).request_timeout(patient).open().expect("no server is asked")
}

#[expect(clippy::disallowed_methods, reason = "the record has a time of day")]
fn now() -> SystemTime {
    SystemTime::now()
}

#[test]
fn a_queue_has_the_holder_first_and_each_waiter_in_its_order() {
    let Some(scene) = Scene::new(1) else { return };
    let (fleet, name) = (open(&scene), scene.name());
    assert_eq!(fleet.queue(name).expect("a server"), [], "it is free");
    assert_eq!(fleet.list().expect("a server"), []);
    let begin = now() - Duration::from_secs(1); // whole seconds are kept
    let [mut holder, mut second, mut third] = ["a", "b", "c"].map(|machine| scene.actor(machine));
    let token = holder.locks("lock");
    second.tell("lock");
    scene.until_queue_has(2);
    third.tell("lock");
    scene.until_queue_has(3);

    let queue = fleet.queue(name).expect("a server");
    let pids: Vec<u32> = queue.iter().map(|one| one.pid).collect();
    assert_eq!(pids, [holder.pid(), second.pid(), third.pid()]);
    assert_eq!(queue[0].fencing_token, token);
    assert!(queue.is_sorted_by(|a, b| a.fencing_token < b.fencing_token));
    for contender in &queue {
        assert_eq!(contender.description, "an actor");
        assert!(!contender.host.is_empty());
        let since = contender.since.expect("a time");
        assert!(begin <= since && since <= now(), "{since:?}");
    }
    let listed = fleet.list().expect("a server");
    let [lock] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!((&*lock.name, &lock.holder, lock.waiters), (name, &queue[0], 2));
}

#[test]
fn an_administrator_frees_the_contender_with_this_token_and_no_other() {
    let Some(scene) = Scene::new(1) else { return };
    let (fleet, name) = (open(&scene), scene.name());
    let [mut holder, mut waiter] = ["a", "b"].map(|machine| scene.actor(machine));
    let token = holder.locks("lock");
    waiter.tell("lock");
    scene.until_queue_has(2);
    for other in [0, token - 1, u64::MAX] {
        assert!(!fleet.free(name, other).expect("a server"), "{other}");
    }
    assert!(!fleet.free("another", token).expect("a server"), "the token of another lock");
    assert_eq!(scene.queue(), 2);
    assert!(fleet.free(name, token).expect("a server"));
    let second = waiter.has_locked();
    assert!(second > token);
    assert!(!fleet.free(name, token).expect("a server"), "it is gone");
    assert!(holder.ask("release").contains("was lost"));
    assert_eq!(waiter.ask("release"), "released");
}

#[test]
fn foreign_keys_and_hostile_values_are_listed() {
    let Some(scene) = Scene::new(1) else { return };
    let member = &scene.members[0];
    member.ctl(&["put", "shmlock/elsewhere", "no key of a lock"]);
    member.ctl(&["put", "shmlock/foreign/key", "\u{1b}[2J"]);
    member.ctl(&["put", "other/deploy/1", "another program's"]);
    // Five values, of which four are longer than one answer.
    let long = "x".repeat(1_000_000);
    for index in 0..5 {
        member.put(&format!("shmlock/hostile/{index}"), &long);
    }
    member.ctl(&["put", "shmlock/hostile/5", "{\"pid\":42}"]);
    let fleet = open(&scene);
    let last = fleet.queue("hostile").expect("a server").pop().expect("a contender");
    assert_eq!(last.pid, 42, "a value beside long ones is read");
    let found = fleet.list().expect("hostile values are no errors");
    let names: Vec<&str> = found.iter().map(|lock| lock.name.as_str()).collect();
    assert_eq!(names, ["foreign", "hostile"]);
    assert_eq!((found[0].holder.pid, found[0].waiters), (0, 0));
    assert_eq!(found[1].waiters, 5);
    // It blocks the lock, and can be freed.
    let token = found[0].holder.fencing_token;
    assert!(fleet.free("foreign", token).expect("a server"));
    assert_eq!(fleet.queue("foreign").expect("a server"), []);
}

#[test]
fn hostile_values_in_the_queue_are_no_errors_of_a_contender() {
    let Some(scene) = Scene::new(1) else { return };
    // Together longer than one answer.
    for index in 0..5 {
        let key = format!("{}{index}", scene.prefix());
        scene.members[0].put(&key, &"x".repeat(1_000_000));
    }
    let lock = scene.builder("a").open().expect("a lock");
    assert!(lock.try_lock().expect("no error").is_none(), "the lock is busy");
}

#[test]
fn more_contenders_than_one_answer_has_are_listed_in_order() {
    const COUNT: usize = 1100;
    let Some(scene) = Scene::new(1) else { return };
    // Names against the order of arrival; a transaction has 128 operations at most.
    let keys: Vec<String> = (0..COUNT).rev().map(|index| format!("{index:016x}")).collect();
    for some in keys.chunks(100) {
        let value = |key| format!("{{\\\"pid\\\":{}}}", pid_of(key));
        let put = |key| format!("put {}{key} \"{}\"", scene.prefix(), value(key));
        let puts: Vec<String> = some.iter().map(|key| put(key)).collect();
        scene.members[0].transact(&puts.join("\n"));
    }
    let queue = open(&scene).queue(scene.name()).expect("a server");
    let pids: Vec<u32> = queue.iter().map(|one| one.pid).collect();
    assert_eq!(pids.len(), COUNT);
    // The keys of one transaction have one revision.
    for (index, some) in keys.chunks(100).enumerate() {
        let mut part: Vec<u32> = pids[index * 100..][..some.len()].to_vec();
        part.sort_unstable();
        let mut expected: Vec<u32> = some.iter().map(|key| pid_of(key)).collect();
        expected.sort_unstable();
        assert_eq!(part, expected);
    }
    assert_eq!(open(&scene).list().expect("a server")[0].waiters, COUNT - 1);
}

fn pid_of(key: &str) -> u32 {
    u32::from_str_radix(key, 16).expect("a number") + 1
}

#[test]
fn a_name_that_no_lock_can_have_is_refused() {
    let fleet = Fleet::access(["http://127.0.0.1:1"]).open().expect("no server is asked");
    for name in ["", "a/b", ".."] {
        let error = fleet.queue(name).expect_err("an invalid name");
        assert!(matches!(error, Error::Local(_)), "{error}");
        let error = fleet.free(name, 1).expect_err("an invalid name");
        assert!(matches!(error, Error::Local(_)), "{error}");
    }
    let error = fleet.list().expect_err("no server");
    assert_eq!(error.endpoint(), Some("http://127.0.0.1:1"));
}
