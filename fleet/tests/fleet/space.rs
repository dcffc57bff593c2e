//! Tests a database that is full while the lock is held and waited for.

use shmlock_fleet::Error;

use crate::scene::{RENEWED, Scene};

/// Under etcd's alarm `NOSPACE`, a holder renews and releases, and a waiter with a key gets in. A
/// new contender gets an error until the alarm is over.
#[test]
fn a_full_database_stops_new_contenders_only() {
    let Some(scene) = Scene::with(1, &["--quota-backend-bytes", "200000"]) else { return };
    let (mut holder, mut waiter) = (scene.actor_with(RENEWED, "a"), scene.actor("b"));
    let first = holder.locks("lock");
    waiter.tell("lock");
    scene.until_queue_has(2);
    let member = &scene.members[0];
    let text = "x".repeat(100_000);
    let fill = || shmlock_tests::output(&mut member.ctl_command(&["put", "filler", &text]));
    shmlock_tests::until(|| !fill().expect("etcdctl runs").status.success());
    assert!(member.ctl(&["alarm", "list"]).contains("NOSPACE"));

    holder.until_renewed();
    assert_eq!(holder.ask("write"), "accepted");
    let error = scene.builder("c").open().expect("a lock").lock().expect_err("no room");
    assert!(matches!(error, Error::QuotaExceeded { .. }), "{error}");
    assert_eq!(holder.ask("release"), "released");
    assert!(waiter.has_locked() > first);
    assert_eq!(waiter.ask("write"), "accepted");
    assert_eq!(waiter.ask("release"), "released");

    member.ctl(&["del", "filler"]);
    let status = member.ctl(&["endpoint", "status", "--write-out=fields"]);
    let revision = status.lines().find_map(|line| line.strip_prefix("\"Revision\" : "));
    member.ctl(&["compact", revision.expect("a revision")]);
    member.ctl(&["defrag"]);
    member.ctl(&["alarm", "disarm"]);
    scene.settle(&mut [("a", &mut holder), ("b", &mut waiter)]);
}
