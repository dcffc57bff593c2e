//! Makes certificates by the program `openssl`.
//!
//! For the tests of the fleet lock with TLS, the library's and the program's.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{output, skipped};

/// Returns `true` if the program is installed; else reports the test as skipped.
#[must_use]
pub fn has_openssl() -> bool {
    let found = output(Command::new("openssl").arg("version")).is_ok();
    if !found {
        skipped("there is no program `openssl`: bash ci/fleet.sh installs it");
    }
    found
}

/// A certificate and its private key, both in PEM files.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

impl Identity {
    /// Makes an authority, which signs itself, in `directory`.
    ///
    /// # Panics
    /// If `openssl` fails.
    #[must_use]
    pub fn authority(directory: &Path, name: &str) -> Self {
        let new = Self::at(directory, name);
        let mut command = new.request(name);
        openssl(command.args(["-x509", "-days", "2", "-out"]).arg(&new.certificate));
        new
    }

    /// Makes a certificate for servers and clients at `address`, which this authority signs. It is
    /// valid for so many days from now on, or has ended before if they are negative.
    ///
    /// # Panics
    /// If `openssl` fails.
    #[must_use]
    pub fn signs(&self, name: &str, address: &str, days: i32) -> Self {
        let directory = self.certificate.parent().expect("a directory");
        let new = Self::at(directory, name);
        let request = directory.join(format!("{name}.csr"));
        let mut command = new.request(name);
        command.args(["-addext", &format!("subjectAltName=IP:{address}")]);
        command.args(["-addext", "basicConstraints=critical,CA:false"]);
        command.args(["-addext", "extendedKeyUsage=serverAuth,clientAuth"]);
        openssl(command.arg("-out").arg(&request));
        // `openssl req` has no way to a certificate that has ended.
        let mut command = Command::new("openssl");
        command.args(["x509", "-req", "-copy_extensions", "copyall", "-in"]).arg(&request);
        command.arg("-CA").arg(&self.certificate).arg("-CAkey").arg(&self.key);
        command.args(["-CAcreateserial", "-days", &days.to_string()]);
        openssl(command.arg("-out").arg(&new.certificate));
        new
    }

    fn at(directory: &Path, name: &str) -> Self {
        let file = |kind: &str| directory.join(format!("{name}.{kind}"));
        Self { certificate: file("pem"), key: file("key") }
    }

    /// Begins a request for a certificate, which makes the key.
    fn request(&self, name: &str) -> Command {
        let mut command = Command::new("openssl");
        command.args(["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
        command.args(["-subj", &format!("/CN={name}"), "-keyout"]).arg(&self.key);
        command
    }
}

fn openssl(command: &mut Command) {
    let made = output(command).expect("openssl runs");
    assert!(made.status.success(), "{made:?}");
}

/// Returns etcd's options for a server with this certificate that asks each client for one, signed
/// by `authority`.
///
/// # Panics
/// If a path is no text.
#[must_use]
pub fn options_of_etcd(server: &Identity, authority: &Identity) -> Vec<String> {
    let path = |path: &Path| path.to_str().expect("text").to_owned();
    vec![
        "--cert-file".to_owned(),
        path(&server.certificate),
        "--key-file".to_owned(),
        path(&server.key),
        "--client-cert-auth".to_owned(),
        "--trusted-ca-file".to_owned(),
        path(&authority.certificate),
    ]
}
