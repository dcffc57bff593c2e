//! Arguments that several verbs take.

use std::fs::symlink_metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ArgAction;
use shmlock::{Builder, ShmLock};

use crate::exit::{CONFLICT, Failure};

/// Where locks are.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Where {
    /// The directory of the locks' files
    #[arg(long, value_name = "DIR", default_value = "/dev/shm")]
    pub(crate) directory: PathBuf,
}

impl Where {
    pub(crate) fn builder(&self, name: &str) -> Builder {
        ShmLock::builder(name).directory(&self.directory)
    }

    /// The names of all locks.
    pub(crate) fn names(&self) -> Result<Vec<String>, Failure> {
        Ok(shmlock::list_in(&self.directory)?)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        Path::new(&self.directory).join(format!("{name}.shmlock"))
    }
}

/// With whom a lock is shared.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Sharing {
    /// Permissions of the lock's file: 600, 660 to share with a group, 666 with everybody
    ///
    /// All users of a lock give the same. The group of a new file is that of this
    /// process, see newgrp(1). In a directory of mode 2770 (--directory) it is the
    /// directory's, so that this is the place for locks that a group shares.
    #[arg(long, value_name = "OCTAL", default_value = "600", value_parser = octal, verbatim_doc_comment)]
    mode: u32,

    /// Accept a file of this user, too; may be given several times
    #[arg(long, value_name = "UID", value_parser = uid)]
    trust_owner: Vec<u32>,
}

impl Sharing {
    /// Applies it to the lock at this path.
    pub(crate) fn apply(&self, builder: Builder, path: &Path) -> Builder {
        let builder = builder.mode(self.mode);
        // A lock trusts one owner more. Of several that is the one that has the file; if it changes
        // hands meanwhile, the lock is refused, and nothing worse.
        let owner = symlink_metadata(path).ok().map(|file| file.uid());
        match self.trust_owner.iter().find(|uid| Some(**uid) == owner) {
            Some(uid) => builder.trust_owner(*uid),
            None => builder,
        }
    }
}

/// How long to wait for a lock, and what then: as flock(1) has it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Waiting {
    /// Fail rather than wait
    #[arg(short, long, visible_aliases = ["nb", "nonblocking"])]
    pub(crate) nonblock: bool,

    /// Wait at most this long; a fraction is allowed, 0 is one try
    #[arg(short = 'w', long = "wait", visible_alias = "timeout", value_name = "SECS", value_parser = seconds, allow_negative_numbers = true)]
    patience: Option<Duration>,

    /// The exit status when the lock was not free in time
    #[arg(short = 'E', long, value_name = "CODE", default_value_t = CONFLICT)]
    pub(crate) conflict_exit_code: u8,

    /// Say who has the lock, how long it took to get it, and whether an owner had died
    #[arg(short, long, action = ArgAction::SetTrue)]
    pub(crate) verbose: bool,
}

impl Waiting {
    /// Returns how long to wait at most; zero is one try.
    pub(crate) fn patience(&self) -> Option<Duration> {
        if self.nonblock { Some(Duration::ZERO) } else { self.patience }
    }
}

/// Seconds, with a fraction or without.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 =
        text.trim_start().parse().map_err(|_| "give seconds as a number, such as 1.5")?;
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| "give seconds that are not negative and not endless".to_owned())
}

/// With or without the prefix by which the library's errors name a mode.
fn octal(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text.strip_prefix("0o").unwrap_or(text), 8)
        .map_err(|_| "give permissions as an octal number, such as 660".to_owned())
}

fn uid(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "give a user's number, as `id -u USER` says it".to_owned())
}
