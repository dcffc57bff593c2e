//! Turns an error of a fleet lock into a failure: the words, in options of the command line, and
//! the exit status.

use shmlock_fleet::Error;

use crate::exit::{Failure, NO_INPUT, NO_SERVER, REFUSED, SYSTEM, USAGE, WRONG_SERVER};

/// Makes the failure.
pub(super) fn failure(error: Error) -> Failure {
    let error = match error {
        Error::Local(error) => return error.into(),
        error => error,
    };
    let code = match &error {
        Error::InvalidEndpoint { .. } | Error::InvalidSettings { .. } => USAGE,
        Error::TlsFile { .. } => NO_INPUT,
        Error::NoServer { .. }
        | Error::Slow { .. }
        | Error::Lagging { .. }
        | Error::Lost { .. } => NO_SERVER,
        Error::Certificate { .. }
        | Error::WrongPassword { .. }
        | Error::LoginNeeded { .. }
        | Error::AuthDisabled { .. }
        | Error::PermissionDenied { .. } => REFUSED,
        Error::QuotaExceeded { .. }
        | Error::Compacted { .. }
        | Error::OldApi { .. }
        | Error::Refused { .. }
        | Error::TlsNeeded { .. }
        | Error::TooLong { .. }
        | Error::OtherCluster { .. }
        | Error::BadAnswer { .. } => WRONG_SERVER,
        _ => SYSTEM,
    };
    Failure::new(code, explain(&error))
}

/// Makes the failure of a verb that only looks, and has no option `--ttl`.
pub(super) fn view_failure(error: Error) -> Failure {
    match error {
        Error::Slow { ref endpoint, .. } => Failure::new(
            NO_SERVER,
            format!(
                "etcd at {endpoint} did not answer in time{}; check the server's load and the \
                 network, or try later",
                error.others()
            ),
        ),
        error => failure(error),
    }
}

/// Returns what happened and what to do, on one line.
pub(super) fn explain(error: &Error) -> String {
    match error {
        Error::Slow { endpoint, .. } => format!(
            "etcd at {endpoint} did not answer in time{}; check the server's load and the network, \
             or give a longer --ttl: a server has a quarter of it",
            error.others()
        ),
        // A server that refuses a client's certificate may close before its alert is read.
        Error::NoServer { endpoint, source } if endpoint.starts_with("https:") => format!(
            "no etcd answers at {endpoint}: {source}{}; check the address, that the server runs \
             and speaks TLS, and that it accepts this client's certificate (--fleet-cert)",
            error.others()
        ),
        Error::LoginNeeded { endpoint } => format!(
            "etcd at {endpoint} asks for a login; give --fleet-user and --fleet-password-file"
        ),
        Error::Certificate { endpoint, source } => format!(
            "TLS with {endpoint} failed: {source}; check --fleet-ca, --fleet-cert and --fleet-key, \
             and that the server's certificate names this host"
        ),
        Error::Lost { name, loss } => format!(
            "fleet lock {name:?} was not acquired: {loss}; check the servers' load, or give a \
             longer --ttl"
        ),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use shmlock_fleet::{Error, Loss};

    use super::failure;

    /// Returns one error of each variant that no caller of `failure` takes out before.
    fn samples() -> Vec<Error> {
        let endpoint = || "https://etcd-1:2379".to_owned();
        let name = || "deploy".to_owned();
        let source = || "a reason".into();
        vec![
            Error::Local(shmlock::ShmLock::open("a/b").expect_err("no name of a lock")),
            Error::InvalidEndpoint { url: endpoint(), reason: "a reason" },
            Error::InvalidSettings { reason: "a reason" },
            Error::TlsFile { path: "ca.pem".into(), source: source() },
            Error::System { operation: "do", source: std::io::Error::other("a reason") },
            Error::NoServer { endpoint: endpoint(), source: source() },
            Error::Slow { endpoint: endpoint(), source: source() },
            Error::Certificate { endpoint: endpoint(), source: source() },
            Error::WrongPassword { endpoint: endpoint(), user: "worker".to_owned() },
            Error::LoginNeeded { endpoint: endpoint() },
            Error::AuthDisabled { endpoint: endpoint() },
            Error::TlsNeeded { endpoint: endpoint() },
            Error::PermissionDenied { endpoint: endpoint(), prefix: name() },
            Error::QuotaExceeded { endpoint: endpoint() },
            Error::Lagging { endpoint: endpoint(), message: "no leader".to_owned() },
            Error::Compacted { endpoint: endpoint(), oldest: 7 },
            Error::OldApi { endpoint: endpoint(), path: "/v3/lease/grant" },
            Error::Refused { endpoint: endpoint(), code: 2, message: "no".to_owned() },
            Error::BadAnswer { endpoint: endpoint(), reason: "a page".to_owned() },
            Error::TooLong { endpoint: endpoint(), limit: 4 },
            Error::OtherCluster {
                endpoint: endpoint(),
                cluster: 2,
                first_endpoint: name(),
                first_cluster: 1,
            },
            Error::Forked,
            Error::Nested { name: name() },
            Error::Lost { name: name(), loss: Loss::KeyGone },
        ]
    }

    /// Returns the variant's name.
    fn variant(error: &Error) -> String {
        format!("{error:?}").chars().take_while(|c| c.is_alphanumeric()).collect()
    }

    fn file(path: &str) -> String {
        let path = format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    #[test]
    fn each_variant_has_a_status_and_the_documented_one() {
        // The enum is non-exhaustive, so the compiler does not count its variants here.
        let source = file("fleet/src/error/mod.rs");
        let (_, body) = source.split_once("pub enum Error {\n").expect("the enum");
        let (body, _) = body.split_once("\n}\n").expect("its end");
        let names = body.lines().filter_map(|line| line.strip_prefix("    "));
        let names = names.filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
        let variants: BTreeSet<String> = names
            .map(|line| line.chars().take_while(|c| c.is_alphanumeric()).collect())
            // The callers print those themselves.
            .filter(|name: &String| !["TimedOut", "Cancelled"].contains(&&**name))
            .collect();
        assert_eq!(samples().iter().map(variant).collect::<BTreeSet<_>>(), variants);

        let page = file("docs/fleet.md");
        let (_, table) = page.split_once("| status | errors |").expect("the table");
        let (table, _) = table.split_once("\n\n").expect("its end");
        let mut documented: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
        for row in table.lines().skip(2) {
            let mut cells = row.trim_matches('|').split('|').map(str::trim);
            // "1, or `-E`" is a status of `run` itself.
            let Ok(status) = cells.next().expect("a status").parse() else { continue };
            for name in cells.next().expect("errors").split('`').skip(1).step_by(2) {
                documented.entry(name).or_default().push(status);
            }
        }
        for error in samples() {
            let name = variant(&error);
            if name == "Local" {
                continue; // has the status of the local error
            }
            let code = failure(error).code();
            let statuses = documented.get(&*name);
            assert!(
                statuses.is_some_and(|all| all.contains(&code)),
                "{name}: {code}, {statuses:?}"
            );
        }
    }

    #[test]
    fn each_line_names_the_endpoint_and_what_to_do() {
        for error in samples() {
            let line = super::explain(&error);
            assert_eq!(line.lines().count(), 1, "{line}");
            if let Some(endpoint) = error.endpoint() {
                assert!(line.contains(endpoint), "{line}");
            }
            // etcd's own words, the system's, or the settings' are all that is known.
            let is_alone = matches!(
                error,
                Error::Refused { .. } | Error::System { .. } | Error::InvalidSettings { .. }
            );
            assert!(is_alone || line.contains("; "), "{line}");
        }
    }
}
