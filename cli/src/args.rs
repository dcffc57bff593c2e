//! Arguments that several verbs share.

use std::fs::symlink_metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ArgAction;
use shmlock::{Builder, ShmLock};

use crate::exit::{CONFLICT, Failure};

/// The directory of locks that are given none.
const DIRECTORY: &str = "/dev/shm";

/// The place of locks.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Place {
    /// The directory of the locks' files
    #[arg(long, value_name = "DIR", default_value = DIRECTORY)]
    pub(crate) directory: PathBuf,
}

impl Place {
    /// Refuses a directory for a verb that shows the locks of a fleet, which lie in no directory.
    #[cfg(feature = "fleet")]
    pub(crate) fn refuse_with_fleet(&self) -> Result<(), Failure> {
        if self.directory == Path::new(DIRECTORY) {
            return Ok(());
        }
        Err(Failure::usage(
            "--directory is the place of this machine's locks, and --fleet shows those of all \
             machines; leave one of the two out",
        ))
    }

    pub(crate) fn builder(&self, name: &str) -> Builder {
        ShmLock::builder(name).directory(&self.directory)
    }

    /// Returns the names of all locks.
    pub(crate) fn names(&self) -> Result<Vec<String>, Failure> {
        Ok(shmlock::list_in(&self.directory)?)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        Path::new(&self.directory).join(format!("{name}.shmlock"))
    }
}

/// The users with which a lock is shared.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Sharing {
    /// Permissions of the lock's file: 600, 660 to share with a group, 666 with everybody
    ///
    /// All users of a lock give the same mode. A new file has the group of this
    /// process, see newgrp(1); in a directory of mode 2770 (--directory) it has the
    /// directory's group. Such a directory is the place for locks of a group.
    #[arg(
        long,
        value_name = "OCTAL",
        default_value = "600",
        value_parser = octal,
        verbatim_doc_comment
    )]
    mode: u32,

    /// Also accept a file of this user; may be given several times
    #[arg(long, value_name = "UID", value_parser = uid)]
    trust_owner: Vec<u32>,
}

impl Sharing {
    /// Applies mode and trust to the lock at this path.
    pub(crate) fn apply(&self, builder: Builder, path: &Path) -> Builder {
        let builder = builder.mode(self.mode);
        // The builder trusts one more owner. Of several it is the user that has the file. If the
        // file changes hands meanwhile, the open fails.
        let owner = symlink_metadata(path).ok().map(|file| file.uid());
        match self.trust_owner.iter().find(|uid| Some(**uid) == owner) {
            Some(uid) => builder.trust_owner(*uid),
            None => builder,
        }
    }
}

/// The limit of the wait for a lock, and the exit status after it, as in flock(1).
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Waiting {
    /// Fail if the lock is not free at once
    #[arg(short, long, visible_aliases = ["nb", "nonblocking"])]
    pub(crate) nonblock: bool,

    /// Wait at most this long, such as 1.5; 0 is one attempt
    #[arg(
        short = 'w',
        long = "wait",
        visible_alias = "timeout",
        value_name = "SECS",
        value_parser = seconds,
        allow_negative_numbers = true
    )]
    wait: Option<Duration>,

    /// The exit status if the lock was not free in time
    #[arg(short = 'E', long, value_name = "CODE", default_value_t = CONFLICT)]
    pub(crate) conflict_exit_code: u8,

    /// Report the holder, the time that the wait took, and the death of an owner
    #[arg(short, long, action = ArgAction::SetTrue)]
    pub(crate) verbose: bool,
}

impl Waiting {
    /// Returns the limit of the wait, `None` for no limit; zero is one attempt.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        if self.nonblock { Some(Duration::ZERO) } else { self.wait }
    }
}

/// Parses seconds, with a fraction or without.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 =
        text.trim_start().parse().map_err(|_| "give seconds as a number, such as 1.5")?;
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| "give seconds that are not negative and not endless".to_owned())
}

/// Parses an octal number, with or without the prefix of the library's messages.
fn octal(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text.strip_prefix("0o").unwrap_or(text), 8)
        .map_err(|_| "give permissions as an octal number, such as 660".to_owned())
}

fn uid(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| "give a user's number, see `id -u USER`".to_owned())
}
