//! TLS, users and passwords, and the statuses of their refusal.

use std::path::{Path, PathBuf};
use std::process::Command;

use shmlock_tests::etcd::{own_address, own_port};
use shmlock_tests::{output, skipped};

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

/// Makes a certificate and its key, signed by `authority` or by itself.
fn certificate(
    directory: &Path,
    name: &str,
    authority: Option<&str>,
    address: &str,
) -> [PathBuf; 2] {
    let file = |name: &str, kind: &str| directory.join(format!("{name}.{kind}"));
    let [pem, key] = ["pem", "key"].map(|kind| file(name, kind));
    let mut command = Command::new("openssl");
    command.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ]);
    command.args(["-days", "2", "-subj", &format!("/CN={name}"), "-keyout"]).arg(&key);
    command.arg("-out").arg(&pem);
    if let Some(authority) = authority {
        command.arg("-CA").arg(file(authority, "pem")).arg("-CAkey").arg(file(authority, "key"));
        command.args(["-addext", &format!("subjectAltName=IP:{address}")]);
        command.args(["-addext", "basicConstraints=critical,CA:false"]);
        command.args(["-addext", "extendedKeyUsage=serverAuth,clientAuth"]);
    }
    let made = output(&mut command).expect("openssl runs");
    assert!(made.status.success(), "{made:?}");
    [pem, key]
}

#[test]
fn certificates_are_checked_on_both_sides() {
    if output(Command::new("openssl").arg("version")).is_err() {
        skipped("there is no program `openssl`, which makes the certificates");
        return;
    }
    let (address, port) = (own_address(), own_port());
    let url = format!("https://{address}:{port}");
    let mut files = Vec::new();
    let scene = Scene::with(|directory| {
        files.push(certificate(directory, "ca", None, &address));
        files.push(certificate(directory, "other", None, &address));
        files.push(certificate(directory, "server", Some("ca"), &address));
        files.push(certificate(directory, "client", Some("ca"), &address));
        files.push(certificate(directory, "stranger", Some("other"), &address));
        let path = |path: &PathBuf| path.to_str().expect("text").to_owned();
        let flags =
            ["--listen-client-urls", &url, "--advertise-client-urls", &url].map(str::to_owned);
        let mut options = Vec::from(flags);
        let [server, key] = &files[2];
        options.extend([
            "--cert-file".to_owned(),
            path(server),
            "--key-file".to_owned(),
            path(key),
        ]);
        options.extend([
            "--client-cert-auth".to_owned(),
            "--trusted-ca-file".to_owned(),
            path(&files[0][0]),
        ]);
        options
    });
    let Some(scene) = scene else { return };
    let run = |authority: usize, client: Option<usize>| {
        let text = |file: &PathBuf| file.to_str().expect("text").to_owned();
        let mut command = scene.bare(&["run", &scene.name, "--fleet", &url, "-c", "echo ran"]);
        command.env("SHMLOCK_FLEET_CA", text(&files[authority][0]));
        if let Some(client) = client {
            let [certificate, key] = files[client].each_ref().map(text);
            command.args(["--fleet-cert", &certificate, "--fleet-key", &key]);
        }
        ended(command)
    };
    let ran = run(0, Some(3));
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "ran\n"), "{ran:?}");
    let unknown = run(1, Some(3));
    assert_eq!((unknown.code, unknown.out.as_str()), (REFUSED, ""), "{unknown:?}");
    assert!(unknown.err.contains(&url) && unknown.err.contains("--fleet-ca"), "{unknown:?}");
    for client in [None, Some(4)] {
        let refused = run(0, client);
        // The server closes after its alert; the client reads the alert, or finds the connection
        // closed before.
        assert!([REFUSED, NO_SERVER].contains(&refused.code), "{refused:?}");
        assert_eq!(refused.out, "");
        assert!(refused.err.contains(&url) && refused.err.contains("--fleet-cert"), "{refused:?}");
    }
}
