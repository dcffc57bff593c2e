//! Tests single requests that fail on their way, answers that are lost, and a watch that begins
//! too late.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::channel;
use std::time::Duration;

use shmlock_fleet::shmlock::ShmLock;
use shmlock_fleet::{Error, Loss};

use crate::proxy::{Fate, Proxy, Request, answer};
use crate::scene::Scene;

/// No renewal comes while a test runs, and no lease ends.
const LONG: Duration = Duration::from_secs(600);

fn is_deletion(request: &Request) -> bool {
    request.path == "/v3/kv/txn" && request.body.contains("request_delete_range")
}

/// Checks that the lock is free, in etcd and on machine `a`.
fn assert_free(scene: &Scene) {
    assert_eq!(scene.queue(), 0);
    let local = ShmLock::builder(scene.name()).directory(scene.machine("a"));
    let local = local.open().expect("the local lock");
    assert!(local.try_lock().expect("no error").is_some(), "the local lock is free");
    let other = scene.builder("b").open().expect("a lock");
    let guard = other.try_lock().expect("a server").expect("the fleet's lock is free");
    guard.release().expect("it was held");
}

#[test]
fn a_revocation_that_fails_is_no_failure_of_a_release() {
    let Some(scene) = Scene::new(1) else { return };
    let proxy = Proxy::to(scene.members[0].socket(), |request| match &*request.path {
        "/v3/lease/revoke" => {
            let text = r#"{"error":"etcdserver: request timed out","code":14}"#;
            Fate::Answered(answer("503 Service Unavailable", text))
        }
        _ => Fate::Carried,
    });
    let lock = scene.builder_at("a", [proxy.endpoint()]).ttl(LONG).open().expect("a lock");
    lock.lock().expect("it is free").release().expect("the key is deleted");
    let leases = scene.members[0].ctl(&["lease", "list"]);
    assert!(leases.starts_with("found 1 leases"), "no revocation has arrived: {leases}");
    assert_free(&scene);
}

#[test]
fn a_deletion_whose_answer_is_lost_is_found_by_the_next_member() {
    let Some(scene) = Scene::new(1) else { return };
    let member = scene.members[0].socket();
    let proxy =
        Proxy::to(
            member,
            |request| {
                if is_deletion(request) { Fate::Unanswered } else { Fate::Carried }
            },
        );
    let endpoints = [proxy.endpoint(), &scene.members[0].endpoint()];
    let lock = scene.builder_at("a", endpoints).ttl(LONG).open().expect("a lock");
    lock.lock().expect("it is free").release().expect("the key was deleted by the first");
    assert_free(&scene);
}

/// A member that is being shut down still answers for a moment, each request with this error.
#[test]
fn a_member_that_is_being_shut_down_is_passed_over() {
    let Some(scene) = Scene::new(1) else { return };
    let closing = |_: &Request| {
        let text = r#"{"error":"grpc: the client connection is closing","code":1}"#;
        answer("408 Request Timeout", text)
    };
    let proxy = Proxy::answering(closing);
    let endpoints = [proxy.endpoint(), &scene.members[0].endpoint()];
    let lock = scene.builder_at("a", endpoints).ttl(LONG).open().expect("a lock");
    lock.lock().expect("it is free").release().expect("it was held");
    assert_free(&scene);
}

/// Returns the outcome of a release whose first deletions have no answer, so many of them. The
/// deletions themselves arrive or not.
fn release_without_answers(count: usize, arrive: bool) -> Option<(Scene, Result<(), Error>)> {
    let scene = Scene::new(1)?;
    let seen = AtomicUsize::new(0);
    let proxy = Proxy::to(scene.members[0].socket(), move |request| {
        if !is_deletion(request) || seen.fetch_add(1, Relaxed) >= count {
            Fate::Carried
        } else if arrive {
            Fate::Unanswered
        } else {
            Fate::Answered(Vec::new())
        }
    });
    let lock = scene.builder_at("a", [proxy.endpoint()]).ttl(LONG).open().expect("a lock");
    let outcome = lock.lock().expect("it is free").release();
    if let Err(error) = &outcome {
        assert_eq!(error.endpoint(), Some(proxy.endpoint()));
    }
    Some((scene, outcome))
}

#[test]
fn a_deletion_whose_answer_is_lost_is_found_by_the_same_member() {
    for arrive in [true, false] {
        let Some((scene, outcome)) = release_without_answers(1, arrive) else { return };
        outcome.expect("the key is gone");
        assert_free(&scene);
    }
}

/// The caller is told that it is unknown.
#[test]
fn deletions_whose_answers_are_all_lost_are_an_error() {
    let Some((scene, outcome)) = release_without_answers(usize::MAX, true) else { return };
    let error = outcome.expect_err("no answer");
    assert!(matches!(error, Error::NoServer { .. }), "{error}");
    assert_free(&scene);
}

/// A member that has refused the connection cannot have deleted the key: another has.
#[test]
fn a_key_that_was_deleted_by_others_is_a_loss_although_a_member_is_down() {
    let Some(scene) = Scene::new(1) else { return };
    let proxy = Proxy::to(scene.members[0].socket(), |_| Fate::Carried);
    let endpoints = [proxy.endpoint(), &scene.members[0].endpoint()];
    let lock = scene.builder_at("a", endpoints).ttl(LONG).open().expect("a lock");
    let guard = lock.lock().expect("it is free");
    drop(proxy);
    scene.members[0].ctl(&["del", "--prefix", &scene.prefix()]);
    let error = guard.release().expect_err("an administrator has freed it");
    assert!(matches!(error, Error::Lost { loss: Loss::KeyGone, .. }), "{error}");
    assert_free(&scene);
}

/// The changes after a waiter's reading are gone before its watch begins.
#[test]
fn a_waiter_whose_watch_begins_at_a_compacted_revision_gets_in() {
    let Some(scene) = Scene::new(1) else { return };
    let ((tell, told), (pass, passed)) = (channel(), channel::<()>());
    let passed = Mutex::new(passed);
    let proxy = Proxy::to(scene.members[0].socket(), move |request| {
        if request.path == "/v3/watch" {
            let _ = tell.send(()); // the test may be over
            let _ = passed.lock().expect("no panic").recv();
        }
        Fate::Carried
    });
    let holder = scene.builder("a").ttl(LONG).open().expect("a lock");
    let waiter = scene.builder_at("b", [proxy.endpoint()]).ttl(LONG).open().expect("a lock");
    let guard = holder.lock().expect("it is free");
    let first = guard.fencing_token();
    let waiting = std::thread::spawn(move || waiter.lock().map(|guard| guard.fencing_token()));
    told.recv().expect("a watch");
    let member = &scene.members[0];
    for value in ["1", "2", "3"] {
        member.ctl(&["put", "another", value]);
    }
    let status = member.ctl(&["endpoint", "status", "--write-out=fields"]);
    let revision = status.lines().find_map(|line| line.strip_prefix("\"Revision\" : "));
    member.ctl(&["compact", revision.expect("a revision")]);
    pass.send(()).expect("the proxy waits");
    // The watch was refused: the waiter has read the queue again, and watches from there.
    told.recv().expect("a second watch");
    pass.send(()).expect("the proxy waits");
    assert_eq!(scene.queue(), 2, "it has kept its place");
    guard.release().expect("it was held");
    let token = waiting.join().expect("no panic").expect("its turn");
    assert!(token > first);
    assert_free(&scene);
}
