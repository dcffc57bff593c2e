//! Tests that errors name the endpoint and the remedy.

use std::net::TcpListener;
use std::time::Duration;

use shmlock_fleet::{Error, FleetLock};
use shmlock_tests::Fixture;

use crate::proxy::Proxy;
use crate::scene::Scene;

/// No slow machine makes an answer late.
const PATIENT: Duration = Duration::from_secs(60);

/// Returns what `lock` says of a server that gives this answer to everything.
fn error_of(answer: impl AsRef<[u8]>) -> Error {
    let fixture = Fixture::new();
    let answer = answer.as_ref().to_vec();
    let server = Proxy::answering(move |_| answer.clone());
    let lock = FleetLock::builder(&fixture.name("errors"), [server.endpoint()])
        .request_timeout(PATIENT)
        .ttl(PATIENT)
        .open()
        .expect("a lock");
    let error = lock.lock().expect_err("no etcd");
    assert!(error.to_string().contains(server.endpoint()), "{error}");
    assert_eq!(error.endpoint(), Some(server.endpoint()));
    error
}

#[test]
fn an_old_api_is_named() {
    let error = error_of("HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nNot Found");
    assert!(matches!(error, Error::OldApi { path: "/v3/lease/grant", .. }), "{error}");
}

#[test]
fn a_server_that_is_no_etcd_is_named() {
    let error = error_of("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>");
    assert!(matches!(error, Error::BadAnswer { .. }), "{error}");
    let error = error_of("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
    assert!(matches!(error, Error::BadAnswer { .. }), "{error}");
    // No text, and no fault of TLS.
    let error = error_of(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xfe");
    assert!(matches!(error, Error::BadAnswer { .. }), "{error}");
}

#[test]
fn a_member_without_a_leader_is_named() {
    let error = error_of(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 45\r\n\r\n\
         {\"error\":\"etcdserver: no leader\",\"code\":14}  ",
    );
    assert!(matches!(error, Error::Lagging { .. }), "{error}");
}

#[test]
fn a_server_that_does_not_answer_is_named() {
    let fixture = Fixture::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let endpoint = format!("http://{}", listener.local_addr().expect("its address"));
    let lock = FleetLock::builder(&fixture.name("slow"), [&*endpoint])
        .request_timeout(Duration::from_millis(50))
        .open()
        .expect("a lock");
    let error = lock.lock().expect_err("no answer");
    assert!(matches!(error, Error::Slow { .. }), "{error}");
    assert_eq!(error.endpoint(), Some(&*endpoint));
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let fixture = Fixture::new();
    let builder = || FleetLock::builder(&fixture.name("settings"), ["http://127.0.0.1:1"]);
    let short = builder().ttl(Duration::from_millis(100)).open().expect_err("too short");
    assert!(matches!(short, Error::InvalidSettings { .. }), "{short}");
    let none = FleetLock::builder("n", [""; 0]).open().expect_err("no endpoint");
    assert!(matches!(none, Error::InvalidSettings { .. }), "{none}");
    let tls = builder().tls_authority("/nonexistent.pem").open().expect_err("no such file");
    let is_expected = if cfg!(feature = "tls") {
        matches!(tls, Error::TlsFile { .. })
    } else {
        matches!(tls, Error::InvalidSettings { .. })
    };
    assert!(is_expected, "{tls}");
}

#[test]
fn logins_are_made_renewed_and_refused() {
    let Some(mut scene) = Scene::new(1) else { return };
    let member = &scene.members[0];
    let prefix = scene.prefix();
    member.ctl(&["user", "add", "root:top"]);
    member.ctl(&["user", "grant-role", "root", "root"]);
    member.ctl(&["role", "add", "locker"]);
    member.ctl(&["role", "grant-permission", "locker", "--prefix=true", "readwrite", &prefix]);
    member.ctl(&["user", "add", "worker:secret"]);
    member.ctl(&["user", "grant-role", "worker", "locker"]);
    member.ctl(&["user", "add", "guest:secret"]);
    member.ctl(&["auth", "enable"]);
    // On a busy machine a server takes long to check a password, and this test is about answers.
    let ttl = Duration::from_secs(60);
    let open = |user: &str, password| {
        scene.builder("a").ttl(ttl).credentials(user, password).open().expect("a lock")
    };
    let nameless = scene.builder("a").open().expect("a lock").lock().expect_err("no login");
    assert!(matches!(nameless, Error::LoginNeeded { .. }), "{nameless}");
    let wrong = open("worker", "wrong").lock().expect_err("a wrong password");
    assert!(matches!(&wrong, Error::WrongPassword { user, .. } if user == "worker"), "{wrong}");
    let denied = open("guest", "secret").lock().expect_err("no right");
    assert!(matches!(&denied, Error::PermissionDenied { .. }), "{denied}");
    assert!(denied.to_string().contains(&prefix), "{denied}");

    let lock = open("worker", "secret");
    let first = lock.lock().expect("a good login").fencing_token();
    // A restarted server has forgotten the token.
    scene.members[0].kill();
    scene.members[0].restart();
    let guard = lock.lock().expect("a new login");
    assert!(guard.fencing_token() > first);
    guard.release().expect("it was held");
}

#[test]
fn a_full_database_is_named() {
    let Some(scene) = Scene::with(1, &["--quota-backend-bytes", "200000"]) else { return };
    let text = "x".repeat(100_000);
    let mut puts = 0;
    let endpoint = scene.members[0].endpoint();
    let put = ["put", "filler", &text];
    while shmlock_tests::output(&mut scene.members[0].ctl_command(&put))
        .expect("etcdctl runs")
        .status
        .success()
    {
        puts += 1;
        assert!(puts < 1000, "the quota is never exceeded");
    }
    let full = scene.builder("a").open().expect("a lock").lock().expect_err("no room");
    assert!(matches!(full, Error::QuotaExceeded { .. }), "{full}");
    assert_eq!(full.endpoint(), Some(&*endpoint));
}

#[cfg(feature = "tls")]
#[test]
fn an_endpoint_without_tls_is_named() {
    use std::io::{Read, Write};

    let fixture = Fixture::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let endpoint = format!("https://{}", listener.local_addr().expect("its address"));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let _ = stream.read(&mut [0; 4096]).expect("a greeting");
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("the client reads");
        }
    });
    let lock = FleetLock::builder(&fixture.name("tls"), [&*endpoint])
        .request_timeout(PATIENT)
        .ttl(PATIENT)
        .open()
        .expect("a lock");
    let error = lock.lock().expect_err("no TLS");
    assert!(matches!(error, Error::Certificate { .. }), "{error}");
    assert_eq!(error.endpoint(), Some(&*endpoint));
}
