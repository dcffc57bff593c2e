//! Writes the errors in words: what happened, to what, and what to do.

use std::fmt;

use super::Error;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(error) => write!(f, "on this machine: {error}"),
            Self::InvalidEndpoint { url, reason } => write!(
                f,
                "`{}` cannot be an endpoint: {reason}; write it like http://10.0.0.7:2379",
                url.escape_debug()
            ),
            Self::InvalidSettings { reason } => f.write_str(reason),
            Self::TlsFile { path, source } => write!(
                f,
                "{} cannot be used for TLS: {source}; give the path of a PEM file that fits",
                path.display()
            ),
            Self::System { operation, source } => {
                write!(f, "cannot {operation}: {source}")?;
                if self.is_short_of_descriptors() {
                    f.write_str("; close descriptors or raise their limit (ulimit -n)")?;
                }
                Ok(())
            }
            Self::TimedOut { name, cause: Some(cause), .. } => {
                write!(f, "the fleet lock `{name}` was not acquired in time: {cause}")
            }
            Self::Forked => f.write_str(
                "this process is a forked child, and the fleet lock is its parent's; open it again \
                 here",
            ),
            Self::TimedOut { name, holder: Some(holder), .. } => write!(
                f,
                "the fleet lock `{name}` was not released in time; it is held by {holder}"
            ),
            Self::TimedOut { name, holder: None, .. } => {
                write!(f, "the fleet lock `{name}` was not released in time")
            }
            Self::Cancelled { name } => {
                write!(f, "waiting for the fleet lock `{name}` was cancelled")
            }
            Self::Nested { name } => {
                write!(f, "this handle holds the fleet lock `{name}` already; release it first")
            }
            Self::Lost { name, loss } => {
                write!(f, "the fleet lock `{name}` was lost: {loss}; stop using what it protects")
            }
            _ => self.write_of_server(f),
        }
    }
}

impl Error {
    /// Writes the errors that concern an endpoint.
    fn write_of_server(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A server that refuses a client's certificate may close before its alert is read.
            Self::NoServer { endpoint, source } if endpoint.starts_with("https:") => write!(
                f,
                "no etcd answers at {endpoint}: {source}{}; check the address, that the server \
                 runs, is reachable and speaks TLS, and that it accepts this client's certificate",
                self.others()
            ),
            // etcd closes a connection that begins with plain HTTP where it speaks TLS.
            Self::NoServer { endpoint, source } => write!(
                f,
                "no etcd answers at {endpoint}: {source}{}; check the address, and that the server \
                 runs and is reachable; if its port speaks TLS, write https://",
                self.others()
            ),
            Self::Slow { endpoint, source } => write!(
                f,
                "etcd at {endpoint} did not answer in time: {source}{}; check the server's load \
                 and the network, or allow a longer request timeout",
                self.others()
            ),
            Self::Certificate { endpoint, source } => write!(
                f,
                "TLS with {endpoint} failed: {source}; check the authority's certificate, the \
                 client's, and that the server's names this host"
            ),
            Self::WrongPassword { endpoint, user } => write!(
                f,
                "etcd at {endpoint} refuses user `{user}`: wrong name or password; correct them \
                 (`etcdctl user passwd {user}` sets a new one)"
            ),
            Self::LoginNeeded { endpoint } => {
                write!(f, "etcd at {endpoint} asks for a login; give a user and a password")
            }
            Self::PermissionDenied { endpoint, prefix } => write!(
                f,
                "etcd at {endpoint} denies access to the keys under {prefix}; grant the user a \
                 role with the right (`etcdctl role grant-permission ROLE readwrite --prefix \
                 {prefix}`)"
            ),
            Self::QuotaExceeded { endpoint } => write!(
                f,
                "the database of etcd at {endpoint} is full; compact and defragment it, then \
                 `etcdctl alarm disarm`"
            ),
            Self::Lagging { endpoint, message } => write!(
                f,
                "the member at {endpoint} cannot answer for the cluster: {message}; check that a \
                 majority of the members runs, or give the endpoints of other members too"
            ),
            Self::Compacted { endpoint, oldest } => write!(
                f,
                "etcd at {endpoint} has no changes before revision {oldest} any more; read the \
                 present state and watch from there"
            ),
            Self::OldApi { endpoint, path } => write!(
                f,
                "the server at {endpoint} does not know {path}; it must be etcd 3.4 or later with \
                 its gRPC gateway enabled, at its port for clients (2379), not for peers (2380)"
            ),
            Self::Refused { endpoint, code, message } => {
                write!(f, "etcd at {endpoint} refused: {message} (code {code})")
            }
            Self::BadAnswer { endpoint, reason } => write!(
                f,
                "the answer of {endpoint} is not one of etcd's: {reason}; check that the address \
                 is that of etcd's clients, not of a proxy or of its peers"
            ),
            Self::OtherCluster { endpoint, cluster, first_endpoint, first_cluster } => {
                write_of_two(f, [first_endpoint, endpoint], [*first_cluster, *cluster])
            }
            Self::TooLong { endpoint, limit } => write!(
                f,
                "the answer of {endpoint} has more than {limit} bytes; check that the address is \
                 that of etcd's clients, and remove foreign keys under `shmlock/`"
            ),
            Self::AuthDisabled { endpoint } => write!(
                f,
                "etcd at {endpoint} has no authentication, and a user was given; leave the user \
                 out, or enable it (`etcdctl auth enable`)"
            ),
            Self::TlsNeeded { endpoint } => {
                write!(f, "the server at {endpoint} speaks TLS; write the address with https://")
            }
            // Written by the caller. Named: a new error must not print nothing.
            Self::Local(_)
            | Self::InvalidEndpoint { .. }
            | Self::InvalidSettings { .. }
            | Self::TlsFile { .. }
            | Self::System { .. }
            | Self::TimedOut { .. }
            | Self::Forked
            | Self::Cancelled { .. }
            | Self::Nested { .. }
            | Self::Lost { .. } => Ok(()),
        }
    }
}

/// Writes the error of two endpoints of two clusters. The handle has used `first` before `other`.
fn write_of_two(
    f: &mut fmt::Formatter<'_>,
    [first, other]: [&str; 2],
    [first_cluster, cluster]: [u64; 2],
) -> fmt::Result {
    if cluster == first_cluster {
        write!(
            f,
            "etcd at {other} does not have what was put at {first} before, although both name the \
             cluster {cluster:x}"
        )?;
    } else {
        write!(
            f,
            "etcd at {other} is of the cluster {cluster:x}, and {first} led to the cluster \
             {first_cluster:x}"
        )?;
    }
    f.write_str(
        ", and in two clusters a lock has two holders; name the endpoints of one cluster; if it \
         was built anew or restored, stop all holders, wait for a TTL and start them again",
    )
}
