//! Tests endpoints of two clusters in one list: the lock may not have a holder in each.

use std::net::TcpListener;
use std::time::Duration;

use shmlock_fleet::shmlock::ShmLock;
use shmlock_fleet::{Error, FleetLock, Loss};
use shmlock_tests::etcd::{Member, cluster};

use crate::scene::{RENEWED, Scene};

/// No lease ends while a test runs, and no slow machine exceeds a part of it.
const LONG: Duration = Duration::from_secs(600);

/// A member believes that it has this address: two such members give their clusters one name, as
/// two do on two machines that were started with etcd's defaults.
const ALIKE: [&str; 4] = [
    "--initial-advertise-peer-urls",
    "http://127.0.0.1:9",
    "--initial-cluster",
    "m0=http://127.0.0.1:9",
];

/// A scene, and a member of a cluster of its own.
fn scene_and_another(options: &[&str]) -> Option<(Scene, Member)> {
    let scene = Scene::with(1, options)?;
    let another = cluster(&scene.file("another"), 1, options).pop().expect("a member");
    Some((scene, another))
}

/// Opens a handle on a machine for these endpoints.
fn open(scene: &Scene, machine: &str, endpoints: [&str; 2]) -> FleetLock {
    scene.builder_at(machine, endpoints).ttl(LONG).open().expect("no server is asked")
}

/// Checks that the error names both endpoints, and whether it names two clusters.
fn assert_other_cluster(error: &Error, endpoints: [&str; 2], are_alike: bool) {
    let Error::OtherCluster { endpoint, cluster, first_endpoint, first_cluster } = error else {
        panic!("{error}")
    };
    assert_eq!(cluster == first_cluster, are_alike, "{error}");
    assert_ne!(*cluster, 0, "{error}");
    let mut named = [&**endpoint, &**first_endpoint];
    named.sort_unstable();
    let mut given = endpoints;
    given.sort_unstable();
    assert_eq!(named, given, "{error}");
    assert!(given.iter().all(|url| error.to_string().contains(url)), "{error}");
}

/// Two machines, of which each asks another cluster first, acquire nothing, and leave nothing.
fn two_clusters_have_no_holder(scene: &Scene, another: &Member, are_alike: bool) {
    let (one, two) = (scene.members[0].endpoint(), another.endpoint());
    let [a, b] =
        [("a", [&*one, &*two]), ("b", [&*two, &*one])].map(|(name, list)| open(scene, name, list));
    for _ in 0..2 {
        let outcomes = [a.lock(), b.lock()];
        let holders = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert!(holders < 2, "two holders");
        for outcome in outcomes {
            let error = outcome.expect_err("two clusters");
            assert_other_cluster(&error, [&one, &two], are_alike);
        }
        let error = a.try_lock().expect_err("two clusters");
        assert_other_cluster(&error, [&one, &two], are_alike);
    }
    for member in [&scene.members[0], another] {
        assert_eq!(member.ctl(&["get", "--prefix", "--keys-only", ""]).trim(), "");
    }
    let local = ShmLock::builder(scene.name()).directory(scene.machine("a"));
    let local = local.open().expect("the local lock");
    assert!(local.try_lock().expect("no error").is_some(), "the local lock is free");
}

#[test]
fn endpoints_of_two_clusters_give_the_lock_to_neither() {
    let Some((scene, another)) = scene_and_another(&[]) else { return };
    two_clusters_have_no_holder(&scene, &another, false);
}

#[test]
fn two_clusters_of_one_name_are_told_apart_by_the_key() {
    let Some((scene, another)) = scene_and_another(&ALIKE) else { return };
    two_clusters_have_no_holder(&scene, &another, true);
}

/// The endpoint of the other cluster is silent at first, and then the only one.
fn a_handle_stays(options: &[&str], are_alike: bool) {
    let Some((mut scene, mut another)) = scene_and_another(options) else { return };
    scene.members[0].ctl(&["put", "another", "key"]); // its tokens are greater
    let (one, two) = (scene.members[0].endpoint(), another.endpoint());
    another.kill();
    let lock = open(&scene, "a", [&one, &two]);
    lock.lock().expect("the other cluster is silent").release().expect("it was held");
    scene.members[0].kill();
    another.restart();
    for _ in 0..2 {
        let error = lock.lock().expect_err("another cluster");
        assert_other_cluster(&error, [&one, &two], are_alike);
    }
    assert_eq!(another.ctl(&["get", "--prefix", "--keys-only", ""]).trim(), "");
}

#[test]
fn a_handle_stays_with_its_cluster() {
    a_handle_stays(&[], false);
}

#[test]
fn a_handle_stays_with_its_cluster_although_another_has_its_name() {
    a_handle_stays(&ALIKE, true);
}

/// The endpoint of the other cluster is silent until the lock is held.
fn a_holder_loses(options: &[&str]) {
    let Some((scene, mut another)) = scene_and_another(options) else { return };
    let endpoints = [scene.members[0].endpoint(), another.endpoint()];
    another.kill();
    let lock = scene.builder_at("a", endpoints).ttl(Duration::from_secs(RENEWED));
    let lock = lock.open().expect("no server is asked");
    let guard = lock.lock().expect("the other cluster is silent");
    another.restart();
    shmlock_tests::until(|| guard.is_lost());
    assert_eq!(guard.loss(), Some(Loss::OtherCluster));
    let error = guard.release().expect_err("it is lost");
    assert!(matches!(error, Error::Lost { loss: Loss::OtherCluster, .. }), "{error}");
    assert_eq!(scene.queue(), 0);
}

#[test]
fn a_holder_loses_when_an_endpoint_shows_another_cluster() {
    a_holder_loses(&[]);
}

#[test]
fn a_holder_loses_when_an_endpoint_shows_another_cluster_of_the_same_name() {
    a_holder_loses(&ALIKE);
}

#[test]
fn a_cluster_that_was_built_anew_is_another_one() {
    let Some(mut scene) = Scene::new(1) else { return };
    let endpoint = scene.members[0].endpoint();
    let lock = scene.builder("a").ttl(LONG).open().expect("no server is asked");
    lock.lock().expect("it is free").release().expect("it was held");
    scene.members[0].kill();
    std::fs::remove_dir_all(scene.file("etcd-0").join("data")).expect("the data");
    scene.members[0].restart();
    let error = lock.lock().expect_err("tokens have gone back");
    assert_other_cluster(&error, [&endpoint, &endpoint], true);
    assert!(error.to_string().contains("built anew"), "{error}");
    assert_eq!(scene.queue(), 0);
    let again = scene.builder("a").ttl(LONG).open().expect("no server is asked");
    again.lock().expect("a new handle").release().expect("it was held");
}

#[test]
fn a_silent_endpoint_keeps_no_contender_out() {
    let Some(scene) = Scene::new(1) else { return };
    let silent = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let silent = format!("http://{}", silent.local_addr().expect("its address"));
    let endpoints = [scene.members[0].endpoint(), silent];
    let lock = scene.builder_at("a", endpoints).ttl(Duration::from_secs(60));
    let lock = lock.open().expect("no server is asked");
    for _ in 0..2 {
        lock.lock().expect("one endpoint answers").release().expect("it was held");
    }
    lock.try_lock_for(LONG).expect("one endpoint answers").release().expect("it was held");
    let guard = lock.try_lock().expect("one endpoint answers").expect("it is free");
    guard.release().expect("it was held");
}
