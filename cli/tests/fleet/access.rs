//! TLS, users and passwords, and the statuses of their refusal.

use shmlock_tests::certificates::{Identity, has_openssl, options_of_etcd};
use shmlock_tests::etcd::{cluster, own_address, own_port};

use super::scene::Scene;
use crate::program::{Ended, ended};

/// The exit status for a refused certificate, password or right.
const REFUSED: Option<i32> = Some(77);

#[test]
fn a_password_comes_from_a_file_or_a_variable() {
    let Some(scene) = Scene::new() else { return };
    let member = &scene.members[0];
    member.ctl(&["user", "add", "root:top"]);
    member.ctl(&["user", "grant-role", "root", "root"]);
    member.ctl(&["role", "add", "locker"]);
    let grant = ["role", "grant-permission", "locker", "--prefix=true", "readwrite"];
    member.ctl(&[&grant[..], &[&scene.prefix()]].concat());
    member.ctl(&["user", "add", "worker:secret"]);
    member.ctl(&["user", "grant-role", "worker", "locker"]);
    member.ctl(&["user", "add", "guest:secret"]);
    member.ctl(&["auth", "enable"]);
    let [right, wrong] = ["secret", "wrong"].map(|word| {
        let file = scene.file(word);
        std::fs::write(&file, format!("{word}\nanother line\n")).expect("a file");
        file.to_str().expect("text").to_owned()
    });
    let run = |user: &str, file: &str| {
        let options = ["--fleet-user", user, "--fleet-password-file", file];
        ended(scene.run("a", &[&options[..], &["--", "echo", "ran"]].concat()))
    };
    let ran = Ended { code: Some(0), out: "ran\n".to_owned(), err: String::new() };
    assert_eq!(run("worker", &right), ran);
    let mut by_variables = scene.run("a", &["--", "echo", "ran"]);
    by_variables.env("SHMLOCK_FLEET_USER", "worker").env("SHMLOCK_FLEET_PASSWORD", "secret");
    assert_eq!(ended(by_variables), ran);
    for (refused, word) in [
        (run("worker", &wrong), "worker"),
        (run("guest", &right), "grant"),
        (ended(scene.run("a", &["--", "echo", "ran"])), "--fleet-password-file"),
    ] {
        assert_eq!((refused.code, refused.out.as_str()), (REFUSED, ""), "{refused:?}");
        assert!(refused.err.contains(word) && refused.err.contains(&scene.url()), "{refused:?}");
        assert_eq!(refused.err.lines().count(), 1, "{refused:?}");
    }
    assert_eq!(run("worker", "/no/such/file").code, Some(66));
}

/// The exit status for a server that cannot be reached.
const NO_SERVER: Option<i32> = Some(68);

#[test]
fn certificates_are_checked_on_both_sides() {
    if !has_openssl() {
        return;
    }
    let (address, port) = (own_address(), own_port());
    let url = format!("https://{address}:{port}");
    let mut identities = None;
    let scene = Scene::with(|directory| {
        let ours = Identity::authority(directory, "ca");
        let other = Identity::authority(directory, "other");
        let server = ours.signs("server", &address, 2);
        let flags = ["--listen-client-urls", &url, "--advertise-client-urls", &url];
        let options = [flags.map(str::to_owned).to_vec(), options_of_etcd(&server, &ours)];
        let client = ours.signs("client", &address, 2);
        let stranger = other.signs("stranger", &address, 2);
        identities = Some([ours, other, client, stranger]);
        options.concat()
    });
    let Some(scene) = scene else { return };
    let [ours, other, client, stranger] = identities.expect("they were made");
    let run = |authority: &Identity, client: Option<&Identity>| {
        let mut command = scene.bare(&["run", &scene.name, "--fleet", &url, "-c", "echo ran"]);
        command.env("SHMLOCK_FLEET_CA", &authority.certificate);
        if let Some(Identity { certificate, key }) = client {
            command.arg("--fleet-cert").arg(certificate).arg("--fleet-key").arg(key);
        }
        ended(command)
    };
    let ran = run(&ours, Some(&client));
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "ran\n"), "{ran:?}");
    let mut mixed = scene.bare(&["run", &scene.name, "--fleet", &url, "-c", "echo ran"]);
    mixed.arg("--fleet-cert").arg(&client.certificate).arg("--fleet-key").arg(&stranger.key);
    let mixed = ended(mixed);
    assert_eq!((mixed.code, mixed.out.as_str()), (Some(66), ""), "{mixed:?}");
    assert!(mixed.err.contains("client.pem") && mixed.err.lines().count() == 1, "{mixed:?}");
    let unknown = run(&other, Some(&client));
    assert_eq!((unknown.code, unknown.out.as_str()), (REFUSED, ""), "{unknown:?}");
    assert!(unknown.err.contains(&url) && unknown.err.contains("--fleet-ca"), "{unknown:?}");
    for client in [None, Some(&stranger)] {
        let refused = run(&ours, client);
        // The server closes after its alert; the client reads the alert, or finds the connection
        // closed before.
        assert!([REFUSED, NO_SERVER].contains(&refused.code), "{refused:?}");
        assert_eq!(refused.out, "");
        assert!(refused.err.contains(&url) && refused.err.contains("--fleet-cert"), "{refused:?}");
    }
}

#[test]
fn urls_of_two_clusters_are_refused() {
    let Some(scene) = Scene::new() else { return };
    let another = cluster(&scene.file("another"), 1, &[]).pop().expect("a member");
    let (one, two) = (scene.url(), another.endpoint());
    for urls in [format!("{one},{two}"), format!("{two},{one}")] {
        for verb in [&["run", "--ttl", "600"][..], &["run", "--ttl", "600", "-n"]] {
            let mut command = scene.bare(&[verb, &["--fleet", &urls, &scene.name]].concat());
            command.args(["--", "echo", "ran"]);
            let refused = ended(command);
            assert_eq!((refused.code, refused.out.as_str()), (Some(76), ""), "{refused:?}");
            assert!(refused.err.contains(&one) && refused.err.contains(&two), "{refused:?}");
            assert!(refused.err.contains("one cluster"), "{refused:?}");
            assert_eq!(refused.err.lines().count(), 1, "{refused:?}");
        }
    }
    assert_eq!(scene.queue(), 0);
}
