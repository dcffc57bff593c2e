//! Reads the options of a fleet lock from the command line and the environment.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use shmlock_fleet::{DEFAULT_TTL, Fleet, FleetBuilder, FleetLock};

use super::failure::view_failure;
use crate::args::seconds;
use crate::exit::{Failure, NO_INPUT};

/// The value of `--fleet` that stands for the variable [`URLS`].
const FROM_ENVIRONMENT: &str = "env";

/// The title of these options in the help.
const HEADING: &str = "Options of a lock over machines";

const URLS: &str = "SHMLOCK_FLEET";
const AUTHORITY: &str = "SHMLOCK_FLEET_CA";
const CERTIFICATE: &str = "SHMLOCK_FLEET_CERT";
const KEY: &str = "SHMLOCK_FLEET_KEY";
const USER: &str = "SHMLOCK_FLEET_USER";
const PASSWORD: &str = "SHMLOCK_FLEET_PASSWORD";
const PASSWORD_FILE: &str = "SHMLOCK_FLEET_PASSWORD_FILE";

/// The cluster, and how to reach it.
#[derive(Clone, Debug, clap::Args)]
#[allow(clippy::doc_markdown, reason = "the text is the help")]
#[command(next_help_heading = HEADING)]
pub(crate) struct Access {
    /// Lock over all machines that use this cluster of etcd: URLs of its members, or `env`
    ///
    /// Such as http://10.0.0.7:2379,http://10.0.0.8:2379. With the word `env` the URLs are
    /// those of the variable SHMLOCK_FLEET. The lock of this machine comes first, so that
    /// one process of each machine contends.
    #[arg(long, value_name = "URL[,URL...]", value_parser = urls, verbatim_doc_comment)]
    fleet: Option<String>,

    /// The authorities that may sign the servers' certificates [env: SHMLOCK_FLEET_CA]
    #[arg(long, value_name = "PEM", requires = "fleet")]
    fleet_ca: Option<PathBuf>,

    /// This client's certificate [env: SHMLOCK_FLEET_CERT]
    #[arg(long, value_name = "PEM", requires = "fleet")]
    fleet_cert: Option<PathBuf>,

    /// The private key of the certificate [env: SHMLOCK_FLEET_KEY]
    #[arg(long, value_name = "PEM", requires = "fleet")]
    fleet_key: Option<PathBuf>,

    /// The user of etcd [env: SHMLOCK_FLEET_USER]
    #[arg(long, value_name = "USER", requires = "fleet")]
    fleet_user: Option<String>,

    /// A file whose first line is the password [env: SHMLOCK_FLEET_PASSWORD_FILE]
    ///
    /// Or the password itself is in the variable SHMLOCK_FLEET_PASSWORD, which the command
    /// inherits. It is never an argument, which every user of the machine can read.
    #[arg(long, value_name = "FILE", requires = "fleet", verbatim_doc_comment)]
    fleet_password_file: Option<PathBuf>,
}

/// The life of a lease.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = HEADING)]
pub(crate) struct Lease {
    /// The lease ends so long after its last renewal, in whole seconds [default: 10]
    ///
    /// The others wait so long for a machine that died. A holder that reaches no majority
    /// of the members for about a third of this time loses the lock.
    #[arg(
        long,
        value_name = "SECS",
        requires = "fleet",
        value_parser = whole_seconds,
        allow_negative_numbers = true,
        verbatim_doc_comment
    )]
    ttl: Option<u32>,
}

/// The time of a command to end by itself.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = HEADING)]
pub(crate) struct Grace {
    /// The time from TERM to KILL if the lock is lost [default: a fifth of --ttl]
    ///
    /// At most four tenths of --ttl. TERM is sent so long before the lease can end, and a
    /// tenth of --ttl more, so that KILL comes in time.
    #[arg(
        long,
        value_name = "SECS",
        requires = "fleet",
        value_parser = seconds,
        allow_negative_numbers = true,
        verbatim_doc_comment
    )]
    grace: Option<Duration>,
}

/// The cluster, as the command line and the environment say.
pub(crate) struct Cluster {
    urls: Vec<String>,
    authority: Option<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
    credentials: Option<(String, String)>,
}

impl Access {
    /// Returns the cluster; `None` without `--fleet`.
    pub(crate) fn cluster(&self) -> Result<Option<Cluster>, Failure> {
        let Some(given) = &self.fleet else { return Ok(None) };
        let urls = if given == FROM_ENVIRONMENT { from_environment()? } else { given.clone() };
        Ok(Some(Cluster {
            urls: urls.split(',').map(|url| url.trim().to_owned()).collect(),
            authority: path(self.fleet_ca.as_ref(), AUTHORITY),
            identity: self.identity()?,
            credentials: self.credentials()?,
        }))
    }

    fn identity(&self) -> Result<Option<(PathBuf, PathBuf)>, Failure> {
        let certificate = path(self.fleet_cert.as_ref(), CERTIFICATE);
        match (certificate, path(self.fleet_key.as_ref(), KEY)) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
            _ => Err(Failure::usage(format!(
                "a certificate needs its private key, and a key its certificate; give both \
                 --fleet-cert and --fleet-key, or both {CERTIFICATE} and {KEY}"
            ))),
        }
    }

    fn credentials(&self) -> Result<Option<(String, String)>, Failure> {
        let user = self.fleet_user.clone().or_else(|| variable(USER));
        let file = path(self.fleet_password_file.as_ref(), PASSWORD_FILE);
        let Some(user) = user else {
            // A password in the variable alone may be there for another program.
            return match file {
                None => Ok(None),
                Some(file) => Err(Failure::usage(format!(
                    "there is no user of etcd for the password in {}; name the user by \
                     --fleet-user or {USER}",
                    file.display()
                ))),
            };
        };
        // An argument precedes the environment, and of the environment the file.
        let Some(file) = file else {
            let password = env::var(PASSWORD).map_err(|_| {
                Failure::usage(format!(
                    "there is no password for the user {user:?} of etcd; name its file by \
                     --fleet-password-file or {PASSWORD_FILE}, or set {PASSWORD}"
                ))
            })?;
            return Ok(Some((user, password)));
        };
        let refuse = |what| Err(Failure::new(NO_INPUT, what));
        match std::fs::read_to_string(&file).map(|text| text.lines().next().map(str::to_owned)) {
            Ok(Some(password)) if !password.is_empty() => Ok(Some((user, password))),
            Ok(_) => refuse(format!(
                "the first line of {} is empty; write the password of the user {user:?} there",
                file.display()
            )),
            Err(error) => {
                refuse(format!("cannot read the password in {}: {error}; check it", file.display()))
            }
        }
    }
}

impl Lease {
    pub(super) fn ttl(&self) -> Duration {
        self.ttl.map_or(DEFAULT_TTL, |seconds| Duration::from_secs(seconds.into()))
    }

    /// Returns what the clocks of two machines may differ by within a TTL: a tenth of it.
    pub(super) fn drift(&self) -> Duration {
        self.ttl() / 10
    }
}

impl Grace {
    /// Returns the grace for a command under such a lease.
    pub(super) fn of(&self, lease: &Lease) -> Result<Duration, Failure> {
        let ttl = lease.ttl();
        let grace = self.grace.unwrap_or(ttl / 5);
        if grace <= ttl * 2 / 5 {
            return Ok(grace);
        }
        Err(Failure::usage(format!(
            "--grace {} is more than four tenths of --ttl {}: too little time would be left for \
             renewals; give a longer --ttl, or a shorter --grace",
            grace.as_secs_f64(),
            ttl.as_secs()
        )))
    }
}

/// The settings that the builders of a handle and of a view have in common.
macro_rules! reach {
    ($cluster:expr, $builder:expr) => {{
        let mut builder = $builder;
        if let Some(file) = &$cluster.authority {
            builder = builder.tls_authority(file);
        }
        if let Some((certificate, key)) = &$cluster.identity {
            builder = builder.tls_identity(certificate, key);
        }
        if let Some((user, password)) = &$cluster.credentials {
            builder = builder.credentials(user, password);
        }
        builder
    }};
}

impl Cluster {
    /// Begins to open the lock of this name.
    pub(super) fn builder(&self, name: &str) -> FleetBuilder {
        reach!(self, FleetLock::builder(name, self.urls.iter().cloned()))
    }

    /// Returns the view of all locks.
    pub(super) fn view(&self) -> Result<Fleet, Failure> {
        reach!(self, Fleet::access(self.urls.iter().cloned())).open().map_err(view_failure)
    }
}

/// Takes a list of URLs, or the word for the variable. The builder checks each URL; a forgotten one
/// is seen here, before the lock's name is taken for it.
fn urls(text: &str) -> Result<String, String> {
    if text == FROM_ENVIRONMENT || text.contains(':') {
        return Ok(text.to_owned());
    }
    Err("give URLs of etcd's members, such as http://10.0.0.7:2379, or the word `env`".to_owned())
}

/// Parses whole seconds, at least one.
fn whole_seconds(text: &str) -> Result<u32, String> {
    match text.trim_start().parse() {
        Ok(seconds @ 1..) => Ok(seconds),
        _ => Err(format!("give whole seconds from 1 to {}, such as 10", u32::MAX)),
    }
}

/// Returns the value of a variable; `None` if it is not set, or empty.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn from_environment() -> Result<String, Failure> {
    variable(URLS).ok_or_else(|| {
        Failure::usage(format!(
            "--fleet {FROM_ENVIRONMENT} takes the URLs from the variable {URLS}, which is not \
             set; set it, such as {URLS}=http://10.0.0.7:2379"
        ))
    })
}

fn path(given: Option<&PathBuf>, variable: &str) -> Option<PathBuf> {
    let from_environment = || env::var_os(variable).filter(|value: &OsString| !value.is_empty());
    given.cloned().or_else(|| from_environment().map(PathBuf::from))
}
