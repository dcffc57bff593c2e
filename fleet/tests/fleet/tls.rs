//! Tests TLS with a real etcd: what either side refuses is named, with the endpoint and the remedy.

use std::time::Duration;

use shmlock_fleet::{Error, FleetBuilder, FleetLock};
use shmlock_tests::Fixture;
use shmlock_tests::certificates::{Identity, has_openssl, options_of_etcd};
use shmlock_tests::etcd::{own_address, own_port};

use crate::scene::{LONG, Scene};

/// A member that speaks TLS alone, and asks each client for a certificate.
struct Secured {
    scene: Scene,
    /// Its host and port.
    authority: String,
    ours: Identity,
    /// An authority that the member does not know.
    other: Identity,
    client: Identity,
}

impl Secured {
    /// Returns `None`, and reports the test as skipped, where a program is missing. `server` is
    /// given our authority and the member's address.
    fn new(server: impl FnOnce(&Identity, &str) -> Identity) -> Option<Self> {
        if !has_openssl() {
            return None;
        }
        let (address, port) = (own_address(), own_port());
        let authority = format!("{address}:{port}");
        let url = format!("https://{authority}");
        let mut made = None;
        let scene = Scene::prepared(|directory| {
            let ours = Identity::authority(directory, "ca");
            let other = Identity::authority(directory, "other");
            let client = ours.signs("client", &address, 2);
            let flags = ["--listen-client-urls", &url, "--advertise-client-urls", &url];
            let options = options_of_etcd(&server(&ours, &address), &ours);
            made = Some((ours, other, client));
            [flags.map(str::to_owned).to_vec(), options].concat()
        })?;
        let (ours, other, client) = made.expect("they were made");
        Some(Self { scene, authority, ours, other, client })
    }

    fn url(&self) -> String {
        format!("https://{}", self.authority)
    }

    /// Begins to open a handle that trusts this authority.
    fn builder(&self, authority: &Identity) -> FleetBuilder {
        self.scene.builder_at("a", [self.url()]).tls_authority(&authority.certificate)
    }

    /// Returns the error of `lock` by a client with this certificate.
    fn error(&self, authority: &Identity, client: Option<&Identity>) -> Error {
        let mut builder = self.builder(authority);
        if let Some(client) = client {
            builder = builder.tls_identity(&client.certificate, &client.key);
        }
        let error = builder.open().expect("a lock").lock().expect_err("it is refused");
        assert_eq!(error.endpoint(), Some(&*self.url()), "{error}");
        assert!(error.to_string().contains(&self.url()), "{error}");
        assert!(error.to_string().contains("certificate"), "the remedy: {error}");
        error
    }
}

fn good(ours: &Identity, address: &str) -> Identity {
    ours.signs("server", address, 2)
}

#[test]
fn a_client_with_a_certificate_locks_waits_and_releases() {
    let Some(secured) = Secured::new(good) else { return };
    let Identity { certificate, key } = &secured.client;
    let builder = |machine: &str| {
        let directory = secured.scene.machine(machine);
        secured.builder(&secured.ours).tls_identity(certificate, key).directory(directory)
    };
    let [holder, waiter] = ["a", "b"].map(|machine| builder(machine).open().expect("a lock"));
    let guard = holder.lock().expect("it is free");
    let first = guard.fencing_token();
    assert!(waiter.try_lock().expect("servers answer").is_none());
    let waiting = std::thread::spawn(move || waiter.lock().map(|guard| guard.fencing_token()));
    let fleet = shmlock_fleet::Fleet::access([secured.url()])
        .tls_authority(&secured.ours.certificate)
        .tls_identity(certificate, key)
        .request_timeout(Duration::from_secs(LONG))
        .open()
        .expect("a client");
    let queue = || fleet.queue(secured.scene.name()).expect("a server").len();
    shmlock_tests::until(|| queue() == 2);
    guard.release().expect("it was held");
    assert!(waiting.join().expect("no panic").expect("its turn") > first);
    shmlock_tests::until(|| queue() == 0); // the waiter's guard is dropped after its answer
}

#[test]
fn an_unknown_authority_is_refused() {
    let Some(secured) = Secured::new(good) else { return };
    let error = secured.error(&secured.other, Some(&secured.client));
    assert!(matches!(error, Error::Certificate { .. }), "{error}");
}

#[test]
fn a_certificate_for_another_host_is_refused() {
    let Some(secured) = Secured::new(|ours, _| ours.signs("server", "192.0.2.7", 2)) else {
        return;
    };
    let error = secured.error(&secured.ours, Some(&secured.client));
    assert!(matches!(error, Error::Certificate { .. }), "{error}");
    assert!(error.to_string().contains("names this host"), "{error}");
}

#[test]
fn a_certificate_that_has_ended_is_refused() {
    let Some(secured) = Secured::new(|ours, address| ours.signs("server", address, -1)) else {
        return;
    };
    let error = secured.error(&secured.ours, Some(&secured.client));
    assert!(matches!(error, Error::Certificate { .. }), "{error}");
    assert!(error.to_string().contains("Expired"), "{error}");
}

#[test]
fn a_client_without_a_certificate_of_our_authority_is_refused() {
    let Some(secured) = Secured::new(good) else { return };
    let stranger = secured.other.signs("stranger", "127.0.0.1", 2);
    for client in [None, Some(&stranger)] {
        let error = secured.error(&secured.ours, client);
        // The server closes after its alert. The client reads the alert, or finds the connection
        // closed before.
        let is_expected = matches!(error, Error::Certificate { .. } | Error::NoServer { .. });
        assert!(is_expected, "{error}");
    }
}

/// Returns the error of `lock` at an address of the other kind than the server's.
fn error_at(scene: &Scene, url: &str) -> String {
    let lock = scene.builder_at("a", [url]).open().expect("a lock");
    let error = lock.lock().expect_err("the server speaks otherwise");
    // etcd closes the connection, as a server that ends would: the failure may pass.
    assert!(matches!(error, Error::NoServer { .. }), "{error}");
    assert_eq!(error.endpoint(), Some(url));
    error.to_string()
}

#[test]
fn an_http_address_of_a_server_with_tls_is_named() {
    let Some(secured) = Secured::new(good) else { return };
    let url = format!("http://{}", secured.authority);
    let error = error_at(&secured.scene, &url);
    assert!(error.contains(&url) && error.contains("https://"), "{error}");
}

#[test]
fn an_https_address_of_a_server_without_tls_is_named() {
    let Some(scene) = Scene::new(1) else { return };
    let url = format!("https://{}", scene.members[0].socket());
    let error = error_at(&scene, &url);
    assert!(error.contains(&url) && error.contains("speaks TLS"), "{error}");
}

#[test]
fn files_that_are_no_certificates_are_named() {
    if !has_openssl() {
        return;
    }
    let fixture = Fixture::new();
    let directory = std::path::PathBuf::from("/dev/shm").join(format!("{}.d", fixture.name("f")));
    std::fs::create_dir_all(&directory).expect("a directory");
    let ours = Identity::authority(&directory, "ca");
    let text = directory.join("text");
    std::fs::write(&text, "no certificate\n").expect("a file");
    let builder = || FleetLock::builder(&fixture.name("files"), ["https://127.0.0.1:1"]);
    for (open, path) in [
        (builder().tls_authority(&text).open(), &text),
        (builder().tls_authority(&ours.key).open(), &ours.key),
        (builder().tls_identity(&text, &ours.key).open(), &text),
        (builder().tls_identity(&ours.certificate, &text).open(), &text),
        (builder().tls_identity(&ours.certificate, &directory).open(), &directory),
    ] {
        let error = open.expect_err("no such file");
        assert!(matches!(&error, Error::TlsFile { path: named, .. } if named == path), "{error}");
        assert!(error.to_string().contains(path.to_str().expect("text")), "{error}");
    }
    std::fs::remove_dir_all(&directory).expect("it is ours");
}
