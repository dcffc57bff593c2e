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
        | Error::PermissionDenied { .. } => REFUSED,
        Error::QuotaExceeded { .. }
        | Error::Compacted { .. }
        | Error::OldApi { .. }
        | Error::Refused { .. }
        | Error::BadAnswer { .. } => WRONG_SERVER,
        _ => SYSTEM,
    };
    Failure::new(code, explain(&error))
}

/// Returns what happened and what to do, on one line.
pub(super) fn explain(error: &Error) -> String {
    match error {
        Error::Slow { endpoint, .. } => format!(
            "etcd at {endpoint} did not answer in time; check the server's load and the network, \
             or give a longer --ttl: a server has a quarter of it"
        ),
        // A server that refuses a client's certificate may close before its alert is read.
        Error::NoServer { endpoint, source } if endpoint.starts_with("https:") => format!(
            "no etcd answers at {endpoint}: {source}; check the address, that the server runs and \
             speaks TLS, and that it accepts this client's certificate (--fleet-cert)"
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
