//! Looks at the locks of a fleet, and frees one, without a handle of any.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use shmlock::ShmLock;

use crate::access::Access;
use crate::error::{Error, Result};
use crate::etcd::{Etcd, KeyValue};
use crate::holder::FleetHolder;
use crate::names::{ROOT, name_of, prefix_of};

/// How long a reading may take, without a setting.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// The locks of one cluster, seen from outside.
///
/// It holds nothing, and changes nothing but by [`free`](Self::free).
///
/// # Examples
/// ```no_run
/// use shmlock_fleet::Fleet;
///
/// let fleet = Fleet::access(["http://10.0.0.7:2379", "http://10.0.0.8:2379"]).open()?;
/// for lock in fleet.list()? {
///     println!("{}: {}, and {} wait", lock.name, lock.holder, lock.waiters);
/// }
/// # Ok::<(), shmlock_fleet::Error>(())
/// ```
pub struct Fleet {
    etcd: Etcd,
}

/// The settings of a [`Fleet`], from [`Fleet::access`].
#[must_use = "nothing is opened before `open`"]
pub struct FleetAccess {
    access: Access,
    request_timeout: Duration,
}

/// A lock that is held, as [`Fleet::list`] finds it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct FleetState {
    /// Its name. A foreign key may give a name that no lock can have.
    pub name: String,
    /// Its holder.
    pub holder: FleetHolder,
    /// How many machines wait for it.
    pub waiters: usize,
}

impl Fleet {
    /// Begins to reach the cluster of these endpoints.
    pub fn access<S: Into<String>>(endpoints: impl IntoIterator<Item = S>) -> FleetAccess {
        FleetAccess {
            access: Access::new(endpoints.into_iter().map(Into::into).collect()),
            request_timeout: REQUEST_TIMEOUT,
        }
    }

    /// Returns every lock that is held, in the order of names.
    ///
    /// etcd keeps no names of free locks. Changes nothing. Blocks for the answers of the servers.
    ///
    /// # Errors
    /// Those of the server. The user needs the right to read all keys under `shmlock/`.
    ///
    /// # Limits
    /// More than 512 contenders are read in several requests, so not all at one moment.
    pub fn list(&self) -> Result<Vec<FleetState>> {
        let mut locks: BTreeMap<String, FleetState> = BTreeMap::new();
        for (name, holder) in in_order(self.etcd.all(self.limit())?) {
            locks
                .entry(name)
                .and_modify(|lock| lock.waiters += 1)
                .or_insert_with_key(|name| FleetState { name: name.clone(), holder, waiters: 0 });
        }
        Ok(locks.into_values().collect())
    }

    /// Returns the contenders for the lock of this name: the holder first, then the waiters in the
    /// order in which their turns come. One of each machine; empty if the lock is free.
    ///
    /// Changes nothing. Blocks for the answers of the servers.
    ///
    /// # Errors
    /// Those of the server; [`Error::Local`] if the name is invalid.
    ///
    /// # Limits
    /// Those of [`list`](Self::list).
    pub fn queue(&self, name: &str) -> Result<Vec<FleetHolder>> {
        let found = self.of(name)?.all(self.limit())?;
        Ok(in_order(found).into_iter().map(|(_, contender)| contender).collect())
    }

    /// Frees a lock from a contender, by the contender's fencing token: its key is deleted.
    /// Returns `false` if the lock has no contender with this token (any more).
    ///
    /// For administrators. A holder that lives notices with its next renewal, a third of its TTL
    /// later at the latest, and its lock is then [lost](crate::Loss::KeyGone). Until then it works
    /// on, beside its successor: only the resource's check of the token protects. A holder that is
    /// dead needs no such call: its lease ends after the TTL. Blocks for the answers of the
    /// servers.
    ///
    /// # Errors
    /// Those of the server; [`Error::Local`] if the name is invalid.
    pub fn free(&self, name: &str, fencing_token: u64) -> Result<bool> {
        let etcd = self.of(name)?;
        // Revisions begin at 1; 0 would ask for all keys.
        let Some(token) = i64::try_from(fencing_token).ok().filter(|&token| token > 0) else {
            return Ok(false);
        };
        match etcd.created_at(token, self.limit())? {
            Some(key) => etcd.delete_key(key, token, self.limit()),
            None => Ok(false),
        }
    }

    /// Returns the client for the keys of one lock.
    fn of(&self, name: &str) -> Result<Etcd> {
        // For the check of the name: what this machine has of it does not matter.
        if let Err(error @ shmlock::Error::InvalidName { .. }) = ShmLock::builder(name).inspect() {
            return Err(Error::Local(error));
        }
        Ok(self.etcd.with_prefix(prefix_of(name)))
    }

    /// Returns the time for one reading, which the members share.
    fn limit(&self) -> Duration {
        self.etcd.request_timeout()
    }
}

/// Sorts contenders by their arrival, each with the name of its lock.
fn in_order(mut found: Vec<KeyValue>) -> Vec<(String, FleetHolder)> {
    found.sort_by_key(|kv| kv.create_revision.0);
    let describe = |kv: &KeyValue| FleetHolder::of(&kv.value.0, kv.create_revision.0);
    found.iter().filter_map(|kv| Some((name_of(&kv.key.0)?, describe(kv)))).collect()
}

impl FleetAccess {
    /// Sets the user and the password for etcd.
    pub fn credentials(mut self, user: &str, password: &str) -> Self {
        self.access.set_credentials(user, password);
        self
    }

    /// Sets the PEM file with the certificates of the authorities that may sign a server's, see
    /// [`FleetBuilder::tls_authority`](crate::FleetBuilder::tls_authority).
    pub fn tls_authority(mut self, path: impl AsRef<Path>) -> Self {
        self.access.set_authority(path.as_ref());
        self
    }

    /// Sets the PEM files with this client's certificate and its private key, see
    /// [`FleetBuilder::tls_identity`](crate::FleetBuilder::tls_identity).
    pub fn tls_identity(mut self, certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.access.set_identity(certificate.as_ref(), key.as_ref());
        self
    }

    /// Sets how long one reading may take, at all members together, which share the time; by
    /// default three seconds. A call has one reading, and one more for each 512 contenders.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Prepares the client. No server is asked. Never blocks, but for reading the files of TLS.
    ///
    /// # Errors
    /// [`Error::InvalidEndpoint`], [`Error::InvalidSettings`], [`Error::TlsFile`].
    pub fn open(self) -> Result<Fleet> {
        if self.request_timeout.is_zero() {
            let reason = "a request timeout of zero lets no request succeed";
            return Err(Error::InvalidSettings { reason });
        }
        let etcd = self.access.client(ROOT.to_owned(), self.request_timeout)?;
        Ok(Fleet { etcd })
    }
}

impl fmt::Debug for Fleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fleet").finish_non_exhaustive()
    }
}

impl fmt::Debug for FleetAccess {
    /// Leaves the password out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetAccess")
            .field("endpoints", &self.access.shown())
            .finish_non_exhaustive()
    }
}
