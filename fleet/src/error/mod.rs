//! Defines the errors: each names the endpoint or the lock it concerns, and keeps its source.

mod display;

use std::path::PathBuf;

use rustix::io::Errno;

use crate::holder::FleetHolder;

/// The result of this crate's calls.
pub type Result<T> = std::result::Result<T, Error>;

/// The error beneath an error.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// Every error of this crate.
///
/// The display text is one line: what happened, to which endpoint or lock, and what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The lock on this machine refused.
    Local(shmlock::Error),
    /// An endpoint cannot be an address of etcd. Nothing was sent.
    InvalidEndpoint {
        /// The endpoint as given, without a user and a password.
        url: String,
        /// Why it is invalid.
        reason: &'static str,
    },
    /// The builder's settings contradict each other. Nothing was sent.
    InvalidSettings {
        /// The contradiction.
        reason: &'static str,
    },
    /// A file with a certificate or a key cannot be used.
    TlsFile {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: Source,
    },
    /// The system refused a thread, a timer or another resource of this process.
    System {
        /// The operation that failed, as a phrase.
        operation: &'static str,
        /// The system's reason.
        source: std::io::Error,
    },
    /// No server answers at the endpoint, or its answer broke off.
    NoServer {
        /// The endpoint.
        endpoint: String,
        /// Why.
        source: Source,
    },
    /// The server did not answer in time.
    Slow {
        /// The endpoint.
        endpoint: String,
        /// Which limit was exceeded.
        source: Source,
    },
    /// The endpoint's certificate was refused, or the server refused ours.
    Certificate {
        /// The endpoint.
        endpoint: String,
        /// Why.
        source: Source,
    },
    /// The server does not know the user, or the password is wrong.
    WrongPassword {
        /// The endpoint.
        endpoint: String,
        /// The user.
        user: String,
    },
    /// The server asks for a user and a password, and the builder has none.
    LoginNeeded {
        /// The endpoint.
        endpoint: String,
    },
    /// Authentication is disabled at the server, and the builder has a user and a password.
    AuthDisabled {
        /// The endpoint.
        endpoint: String,
    },
    /// The server speaks TLS, and the endpoint's scheme is `http`.
    TlsNeeded {
        /// The endpoint.
        endpoint: String,
    },
    /// The user has no right to the lock's keys.
    PermissionDenied {
        /// The endpoint.
        endpoint: String,
        /// The prefix of the keys, to which the user needs the right to read and write.
        prefix: String,
    },
    /// The server's database is full: it accepts no writes.
    QuotaExceeded {
        /// The endpoint.
        endpoint: String,
    },
    /// The member has no leader, is a learner, or does not keep up with the others.
    Lagging {
        /// The endpoint.
        endpoint: String,
        /// The member's words.
        message: String,
    },
    /// The revision from which to watch has been compacted.
    Compacted {
        /// The endpoint.
        endpoint: String,
        /// The oldest revision that the server still has.
        oldest: i64,
    },
    /// The server has no JSON gateway under `/v3`: it is older than etcd 3.4, or not etcd.
    OldApi {
        /// The endpoint.
        endpoint: String,
        /// The path that it does not know.
        path: &'static str,
    },
    /// The server refused the request for another reason.
    Refused {
        /// The endpoint.
        endpoint: String,
        /// The gRPC code of the answer.
        code: i64,
        /// The server's words.
        message: String,
    },
    /// The answer is not one of etcd's.
    BadAnswer {
        /// The endpoint.
        endpoint: String,
        /// The fault of the answer.
        reason: String,
    },
    /// Two endpoints belong to two clusters, or one endpoint to another cluster than before. Each
    /// cluster would have a holder.
    OtherCluster {
        /// The endpoint of the other cluster.
        endpoint: String,
        /// The name of its cluster, which etcd writes in hexadecimal digits.
        cluster: u64,
        /// The endpoint that the handle has used before.
        first_endpoint: String,
        /// The name of its cluster. Equal to `cluster` if both were set up alike: then a key that
        /// was put in one is missing in the other.
        first_cluster: u64,
    },
    /// The answer is longer than any that the lock expects.
    TooLong {
        /// The endpoint.
        endpoint: String,
        /// The greatest length in bytes that is read.
        limit: u64,
    },
    /// The lock was not acquired within the time limit.
    TimedOut {
        /// The lock's name.
        name: String,
        /// The holder, if it could be read.
        holder: Option<Box<FleetHolder>>,
        /// The failure of a server, if that is why.
        cause: Option<Box<Error>>,
    },
    /// The exit event ended the wait.
    Cancelled {
        /// The lock's name.
        name: String,
    },
    /// This process is a forked child, and the handle, the guard or the client is its parent's.
    Forked,
    /// This handle holds the lock already.
    Nested {
        /// The lock's name.
        name: String,
    },
    /// The lock was lost: another machine may hold it.
    Lost {
        /// The lock's name.
        name: String,
        /// The reason.
        loss: crate::loss::Loss,
    },
}

impl Error {
    /// Returns `true` if the time limit passed.
    #[must_use]
    pub const fn is_timed_out(&self) -> bool {
        match self {
            Self::TimedOut { .. } => true,
            Self::Local(error) => error.is_timed_out(),
            _ => false,
        }
    }

    /// Returns `true` if an exit event ended the wait.
    #[must_use]
    pub const fn is_cancelled(&self) -> bool {
        match self {
            Self::Cancelled { .. } => true,
            Self::Local(error) => error.is_cancelled(),
            _ => false,
        }
    }

    /// Returns `true` if the lock was lost.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        matches!(self, Self::Lost { .. })
    }

    /// Returns the endpoint that the error concerns.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        match self {
            Self::NoServer { endpoint, .. }
            | Self::Slow { endpoint, .. }
            | Self::Certificate { endpoint, .. }
            | Self::WrongPassword { endpoint, .. }
            | Self::LoginNeeded { endpoint }
            | Self::AuthDisabled { endpoint }
            | Self::TlsNeeded { endpoint }
            | Self::PermissionDenied { endpoint, .. }
            | Self::QuotaExceeded { endpoint }
            | Self::Lagging { endpoint, .. }
            | Self::Compacted { endpoint, .. }
            | Self::OldApi { endpoint, .. }
            | Self::Refused { endpoint, .. }
            | Self::BadAnswer { endpoint, .. }
            | Self::OtherCluster { endpoint, .. }
            | Self::TooLong { endpoint, .. } => Some(endpoint),
            Self::InvalidEndpoint { url, .. } => Some(url),
            Self::TimedOut { cause: Some(cause), .. } => cause.endpoint(),
            _ => None,
        }
    }

    /// Returns the other endpoints that gave no answer to the same request either.
    #[must_use]
    pub fn other_endpoints(&self) -> &[String] {
        match self {
            Self::NoServer { source, .. } | Self::Slow { source, .. } => {
                source.downcast_ref::<Several>().map_or(&[], |several| &several.others)
            }
            Self::TimedOut { cause: Some(cause), .. } => cause.other_endpoints(),
            _ => &[],
        }
    }

    /// Returns the other endpoints without an answer as the part of a sentence; empty if there are
    /// none.
    #[must_use]
    pub fn others(&self) -> String {
        match self.other_endpoints() {
            [] => String::new(),
            [other] => format!(", and none at {other}"),
            [others @ .., last] => format!(", and none at {} and {last}", others.join(", ")),
        }
    }

    /// Returns the error of this endpoint and of others, which gave no answer either.
    pub(crate) fn with_others(self, others: Vec<String>) -> Self {
        if others.is_empty() {
            return self;
        }
        let several = |source| Source::from(Several { source, others });
        match self {
            Self::NoServer { endpoint, source } => {
                Self::NoServer { endpoint, source: several(source) }
            }
            Self::Slow { endpoint, source } => Self::Slow { endpoint, source: several(source) },
            error => error,
        }
    }

    /// Returns `true` if an endpoint gave no answer at all.
    pub(crate) fn is_silence(&self) -> bool {
        matches!(self, Self::NoServer { .. } | Self::Slow { .. })
    }

    /// Returns `true` if the same question may have an answer later, without a change of settings:
    /// a server that restarts, an election, a network that comes back, a proxy without a server.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::NoServer { .. }
                | Self::Slow { .. }
                | Self::Lagging { .. }
                | Self::BadAnswer { .. }
                | Self::Compacted { .. }
        ) || self.is_short_of_descriptors()
    }

    /// Returns `true` if the process, or the machine, has no descriptor left.
    pub(crate) fn is_short_of_descriptors(&self) -> bool {
        matches!(self, Self::System { source, .. } if is_shortage(source))
    }

    /// Returns `true` if another member may answer where this one did not.
    pub(crate) fn may_be_other_elsewhere(&self) -> bool {
        matches!(
            self,
            Self::NoServer { .. }
                | Self::Slow { .. }
                | Self::Certificate { .. }
                | Self::TlsNeeded { .. }
                | Self::Lagging { .. }
                | Self::OldApi { .. }
                | Self::BadAnswer { .. }
                | Self::TooLong { .. }
        )
    }
}

/// Returns `true` if the process, or the machine, has no descriptor left.
pub(crate) fn is_shortage(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error().map(Errno::from_raw_os_error), Some(Errno::MFILE | Errno::NFILE))
}

/// The source of the error of several endpoints: that of the first one.
#[derive(Debug)]
struct Several {
    source: Source,
    others: Vec<String>,
}

impl std::fmt::Display for Several {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.source.fmt(f)
    }
}

impl std::error::Error for Several {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.source()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Local(error) => Some(error),
            Self::System { source, .. } => Some(source),
            Self::TlsFile { source, .. }
            | Self::NoServer { source, .. }
            | Self::Slow { source, .. }
            | Self::Certificate { source, .. } => Some(&**source),
            Self::TimedOut { cause: Some(cause), .. } => Some(&**cause),
            _ => None,
        }
    }
}

impl From<shmlock::Error> for Error {
    fn from(error: shmlock::Error) -> Self {
        Self::Local(error)
    }
}
