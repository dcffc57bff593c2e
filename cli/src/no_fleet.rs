//! Refuses `--fleet` in a build without the feature `fleet`, and says how to get one with it.

use crate::exit::Failure;

/// All options of a fleet lock: known, so that the refusal can name the reason.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Access {
    #[arg(long, value_name = "URL", hide = true)]
    fleet: Option<String>,
    #[arg(long, hide = true)]
    ttl: Option<String>,
    #[arg(long, hide = true)]
    grace: Option<String>,
    #[arg(long, hide = true)]
    fleet_ca: Option<String>,
    #[arg(long, hide = true)]
    fleet_cert: Option<String>,
    #[arg(long, hide = true)]
    fleet_key: Option<String>,
    #[arg(long, hide = true)]
    fleet_user: Option<String>,
    #[arg(long, hide = true)]
    fleet_password_file: Option<String>,
}

impl Access {
    /// Fails if one of the options is given.
    pub(crate) fn refuse(&self) -> Result<(), Failure> {
        let all = [
            ("--fleet", &self.fleet),
            ("--ttl", &self.ttl),
            ("--grace", &self.grace),
            ("--fleet-ca", &self.fleet_ca),
            ("--fleet-cert", &self.fleet_cert),
            ("--fleet-key", &self.fleet_key),
            ("--fleet-user", &self.fleet_user),
            ("--fleet-password-file", &self.fleet_password_file),
        ];
        match all.into_iter().find(|(_, value)| value.is_some()) {
            None => Ok(()),
            Some((name, _)) => Err(Failure::usage(format!(
                "this build of shmlock has no fleet locks, which {name} is for; get a build with \
                 them by `cargo install --path cli --features fleet`, in the source of shmlock"
            ))),
        }
    }
}

/// The life of a lease: its options are among those of [`Access`].
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Lease {}

/// The time of a command to end by itself: its option is among those of [`Access`].
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Grace {}
