//! Tests that time limits and exit events are kept while servers do not answer.
//!
//! Every other limit is an hour: a call that spends one is ended by the watchdog.

use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use shmlock_fleet::shmlock::ExitEvent;
use shmlock_fleet::{Error, FleetBuilder, FleetLock};
use shmlock_tests::Fixture;

const HOUR: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(100);

/// A server that accepts connections and never answers. Returns its endpoint, and what tells of
/// each connection.
fn silent() -> (String, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let endpoint = format!("http://{}", listener.local_addr().expect("its address"));
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            open.push(stream.expect("a connection"));
            if tell.send(()).is_err() {
                return;
            }
        }
    });
    (endpoint, told)
}

fn builder(fixture: &Fixture, endpoints: &[&str]) -> FleetBuilder {
    FleetLock::builder(&fixture.name("patience"), endpoints.iter().copied())
        .ttl(HOUR)
        .request_timeout(HOUR)
}

#[test]
fn a_time_limit_cuts_a_request_without_an_answer() {
    let fixture = Fixture::new();
    let (endpoint, _asked) = silent();
    let lock = builder(&fixture, &[&endpoint]).open().expect("a lock");
    for _ in 0..2 {
        let error = lock.try_lock_for(MOMENT).expect_err("no answer");
        assert!(error.is_timed_out(), "{error}");
        assert!(error.to_string().contains(&endpoint), "{error}");
        assert_eq!(error.endpoint(), Some(&*endpoint));
    }
}

/// As where the thread loses its processor at the beginning of the call.
#[test]
fn a_time_limit_that_is_over_before_the_first_request_is_kept() {
    let fixture = Fixture::new();
    let (endpoint, _asked) = silent();
    let lock = builder(&fixture, &[&endpoint]).open().expect("a lock");
    let error = lock.try_lock_for(Duration::from_nanos(1)).expect_err("no answer");
    assert!(error.is_timed_out(), "{error}");
    assert_eq!(error.endpoint(), Some(&*endpoint));
}

#[test]
fn a_time_limit_cuts_a_login_without_an_answer() {
    let fixture = Fixture::new();
    let (endpoint, _asked) = silent();
    let lock = builder(&fixture, &[&endpoint]).credentials("u", "p").open().expect("a lock");
    let error = lock.try_lock_for(MOMENT).expect_err("no answer");
    assert!(error.is_timed_out(), "{error}");
}

#[test]
fn one_try_takes_the_request_timeout_for_all_members() {
    let fixture = Fixture::new();
    let members = [silent(), silent(), silent()];
    let endpoints = [&*members[0].0, &*members[1].0, &*members[2].0];
    let open = |limit| builder(&fixture, &endpoints).request_timeout(limit).open().expect("a lock");
    // Long enough for a busy machine: each member has a third of it.
    let error = open(Duration::from_secs(6)).try_lock().expect_err("no answer");
    assert!(matches!(error, Error::Slow { .. }), "{error}");
    for (_, asked) in &members {
        asked.recv().expect("it was asked within the time");
    }
    let lock = open(MOMENT);
    // A deadline that has passed is one try.
    for error in [lock.try_lock_for(Duration::ZERO), lock.try_lock_until(Instant::now())] {
        let error = error.expect_err("no answer");
        assert!(matches!(error, Error::Slow { .. }), "{error}");
    }
}

#[test]
fn an_exit_event_ends_a_call_whose_request_has_no_answer() {
    let fixture = Fixture::new();
    let (endpoint, asked) = silent();
    let stop = ExitEvent::new();
    let lock = builder(&fixture, &[&endpoint])
        .exit_event(&stop)
        .withdrawal_time(MOMENT)
        .open()
        .expect("a lock");
    let calling = std::thread::spawn(move || lock.lock().map(drop));
    asked.recv().expect("a request");
    stop.set().expect("an event");
    let error = calling.join().expect("no panic").expect_err("no answer");
    assert!(error.is_cancelled(), "{error}");
}

#[test]
fn a_member_that_hangs_leaves_time_for_the_others() {
    let Some(scene) = crate::scene::Scene::new(1) else { return };
    let (endpoint, _asked) = silent();
    let lock = scene
        .builder_at("a", [endpoint, scene.members[0].endpoint()])
        .ttl(HOUR)
        .request_timeout(HOUR)
        .open()
        .expect("a lock");
    // Half of the time belongs to the member that hangs.
    let guard = lock.try_lock_for(Duration::from_secs(16)).expect("one member answers");
    guard.release().expect("it was held");
}
