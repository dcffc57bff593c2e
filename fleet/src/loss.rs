//! Defines the reasons for which a lock is lost.

use std::fmt;

/// The reason for which a lock is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Loss {
    /// The own deadline has passed: no renewal succeeded in time, or this process or its machine
    /// was stopped.
    DeadlinePassed,
    /// The server says that the lease has ended.
    Expired,
    /// The key was deleted, by an administrator for example.
    KeyGone,
    /// An endpoint belongs to another cluster, in which the lock may have another holder.
    OtherCluster,
    /// This process is a forked child: the lock is its parent's.
    Forked,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DeadlinePassed => "its lease was not renewed in time",
            Self::Expired => "its lease has ended",
            Self::KeyGone => "its key was deleted",
            Self::OtherCluster => "one of its endpoints belongs to another cluster of etcd",
            Self::Forked => "this process is a forked child, and its parent has the lock",
        })
    }
}
