//! Tests answers that are no etcd's, are cut or too long: each error names the endpoint.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use shmlock_fleet::{Error, FleetLock};
use shmlock_tests::Fixture;

use crate::proxy::{Proxy, Request, answer};
use crate::scene::Scene;

/// Returns the error of a `lock` whose server gives this answer to everything.
fn error_of(answer: Vec<u8>) -> Error {
    let fixture = Fixture::new();
    let server = Proxy::answering(move |_| answer.clone());
    let lock = FleetLock::builder(&fixture.name("answers"), [server.endpoint()])
        .ttl(Duration::from_secs(60)) // no slow machine makes the answer late
        .open()
        .expect("a lock");
    let error = lock.lock().expect_err("no etcd");
    assert_eq!(error.endpoint(), Some(server.endpoint()), "{error}");
    assert!(error.to_string().contains(server.endpoint()), "{error}");
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
    error
}

#[test]
fn pages_and_redirections_are_no_answers() {
    let page = "<!DOCTYPE html>\n<html>\n<title>502 Bad Gateway</title>\n</html>";
    for status in ["200 OK", "401 Unauthorized", "500 Internal Server Error", "502 Bad Gateway"] {
        let error = error_of(answer(status, page));
        assert!(matches!(error, Error::BadAnswer { .. }), "{status}: {error}");
        let number = status.split(' ').next().expect("a number");
        assert!(error.to_string().contains(number), "{error}");
    }
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"] {
        let text = format!("{status}\r\nLocation: http://127.0.0.1:1/v3/lease/grant");
        let error = error_of(answer(&text, ""));
        // Not followed: the error would be that of the other address.
        assert!(matches!(error, Error::BadAnswer { .. }), "{status}: {error}");
    }
    let error = error_of(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec());
    assert!(matches!(error, Error::BadAnswer { .. }), "{error}");
}

#[test]
fn wrong_types_and_huge_numbers_are_no_answers() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for text in [
        "",
        "null",
        "7",
        "\"text\"",
        "[]",
        "{}",
        r#"{"ID":{},"TTL":"2"}"#,
        r#"{"ID":[1],"TTL":"2"}"#,
        r#"{"ID":true,"TTL":"2"}"#,
        r#"{"ID":"1","TTL":1.5}"#,
        r#"{"ID":"1","TTL":1e400}"#,
        r#"{"ID":"1","TTL":"-5"}"#,
        r#"{"ID":"1","TTL":"0"}"#,
        r#"{"ID":"0","TTL":"10"}"#,
        r#"{"ID":"99999999999999999999","TTL":"10"}"#,
        // A lease, and no transaction.
        r#"{"ID":"1","TTL":"9223372036854775807"}"#,
        r#"{"ID":"1","TTL":"10","responses":7}"#,
        r#"{"ID":"1","TTL":"10","responses":[{"response_range":{"kvs":"*"}}]}"#,
        &deep,
    ] {
        let error = error_of(answer("200 OK", text));
        let beginning: String = text.chars().take(60).collect();
        assert!(matches!(error, Error::BadAnswer { .. }), "{beginning}: {error}");
    }
}

#[test]
fn an_answer_that_is_cut_or_too_long_is_named() {
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"ID\":\"1\"".to_vec();
    let error = error_of(cut);
    assert!(matches!(error, Error::NoServer { .. }), "{error}");
    let error = error_of(b"HTTP/1.1 200 OK\r\nContent-Le".to_vec());
    assert!(matches!(error, Error::NoServer { .. }), "{error}");
    let error = error_of(Vec::new());
    assert!(matches!(error, Error::NoServer { .. }), "{error}");
    let long = format!("\"{}\"", "x".repeat(5 << 20));
    let error = error_of(answer("200 OK", &long));
    let Error::TooLong { limit, .. } = error else { panic!("{error}") };
    assert!(error.to_string().contains(&limit.to_string()), "{error}");
}

/// The answer of Go's servers where plain HTTP arrives at a port for TLS.
#[test]
fn a_server_that_says_that_it_speaks_tls_is_named() {
    let text = "Client sent an HTTP request to an HTTPS server.\n";
    let error = error_of(answer("400 Bad Request", text));
    assert!(matches!(error, Error::TlsNeeded { .. }), "{error}");
    assert!(error.to_string().contains("https://"), "{error}");
}

#[test]
fn a_login_at_an_etcd_without_logins_is_named() {
    let Some(scene) = Scene::new(1) else { return };
    let lock = scene.builder("a").credentials("worker", "secret").open().expect("a lock");
    let error = lock.lock().expect_err("no logins there");
    assert!(matches!(error, Error::AuthDisabled { .. }), "{error}");
    assert_eq!(error.endpoint(), Some(&*scene.members[0].endpoint()));
    assert!(error.to_string().contains("auth enable"), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    assert_eq!(scene.queue(), 0);
}

/// A reading whose login has ended takes three requests: the reading, a login, the reading. All of
/// them together have the request timeout.
#[test]
fn a_slow_login_does_not_prolong_the_request_timeout() {
    const LIMIT: Duration = Duration::from_secs(3);
    let fixture = Fixture::new();
    let asked = AtomicUsize::new(0);
    let reading = r#"{"header":{"revision":"1","raft_term":"1"}}"#;
    let server = Proxy::answering(move |Request { path, .. }| {
        let asked = asked.fetch_add(1, Relaxed);
        if asked >= 2 {
            std::thread::sleep(LIMIT * 2 / 5); // three of them exceed the limit, one does not
        }
        match (path.as_str(), asked) {
            ("/v3/auth/authenticate", _) => answer("200 OK", r#"{"token":"t"}"#),
            ("/v3/kv/range", 2) => answer(
                "401 Unauthorized",
                r#"{"error":"etcdserver: invalid auth token","code":16}"#,
            ),
            ("/v3/kv/range", _) => answer("200 OK", reading),
            _ => panic!("{path}"),
        }
    });
    let lock = FleetLock::builder(&fixture.name("login"), [server.endpoint()])
        .credentials("worker", "secret")
        .ttl(LIMIT * 4)
        .request_timeout(LIMIT)
        .open()
        .expect("a lock");
    assert!(lock.holder().expect("a login and a reading").is_none());
    let error = lock.holder().expect_err("too slow");
    assert!(matches!(error, Error::Slow { .. }), "{error}");
    assert_eq!(error.endpoint(), Some(server.endpoint()));
}
