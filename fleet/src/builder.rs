//! Opens a fleet lock with settings.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use shmlock::{ExitEvent, ShmLock};

use crate::access::Access;
use crate::alarm::Listeners;
use crate::error::Result;
use crate::lock::FleetLock;
use crate::loss::Loss;
use crate::names::prefix_of;
use crate::settings::{
    DEFAULT_TTL, DEFAULT_WITHDRAWAL_TIME, Settings, check, default_margin, default_request_timeout,
};

/// The settings of a [`FleetLock`], from [`FleetLock::builder`].
#[must_use = "nothing is opened before `open`"]
pub struct FleetBuilder {
    name: String,
    local: shmlock::Builder,
    access: Access,
    ttl: Duration,
    margin: Option<Duration>,
    request_timeout: Option<Duration>,
    withdrawal_time: Duration,
    description: String,
    listeners: Listeners,
}

impl FleetLock {
    /// Begins to open the lock of this name in the cluster of these endpoints.
    ///
    /// All have to be members of one cluster. The first acquisition asks each of them for the own
    /// key, and waits for silent ones for a fifth of the
    /// [request timeout](FleetBuilder::request_timeout) at most; later ones do not wait. An
    /// endpoint of another cluster is [`Error::OtherCluster`](crate::Error::OtherCluster), or a
    /// [loss](Loss::OtherCluster) if it is found later.
    pub fn builder<S: Into<String>>(
        name: &str,
        endpoints: impl IntoIterator<Item = S>,
    ) -> FleetBuilder {
        FleetBuilder::new(name, endpoints.into_iter().map(Into::into).collect())
    }
}

impl FleetBuilder {
    pub(crate) fn new(name: &str, endpoints: Vec<String>) -> Self {
        Self {
            name: name.to_owned(),
            local: ShmLock::builder(name),
            access: Access::new(endpoints),
            ttl: DEFAULT_TTL,
            margin: None,
            request_timeout: None,
            withdrawal_time: DEFAULT_WITHDRAWAL_TIME,
            description: String::new(),
            listeners: Listeners::default(),
        }
    }

    /// Sets for how long a lease lives without a renewal: whole seconds, by default
    /// [`DEFAULT_TTL`].
    ///
    /// The others wait so long for a holder that died. A holder that cannot reach a majority of
    /// the members for so long, minus the margin, loses the lock. etcd may choose a longer TTL.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Sets by how much the own deadline comes before the end of the TTL; by default a tenth of it.
    ///
    /// The margin pays for the difference of two clocks, and for the last action of a holder that
    /// is about to lose the lock.
    pub fn margin(mut self, margin: Duration) -> Self {
        self.margin = Some(margin);
        self
    }

    /// Sets how long one member may take for one answer; by default a quarter of the TTL.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = Some(timeout);
        self
    }

    /// Sets how long a call that gives up waits for its own withdrawal from the queue; by default
    /// 250 ms.
    ///
    /// So a call with a time limit returns by its limit plus this time, whatever the servers do.
    /// The withdrawal goes on in the background after it. If it fails, or the process ends before,
    /// the key stays in the queue until its lease ends, and delays those behind it.
    pub fn withdrawal_time(mut self, time: Duration) -> Self {
        self.withdrawal_time = time;
        self
    }

    /// Sets the user and the password for etcd. The login is repeated when its token has expired.
    pub fn credentials(mut self, user: &str, password: &str) -> Self {
        self.access.set_credentials(user, password);
        self
    }

    /// Sets the PEM file with the certificates of the authorities that may sign a server's.
    ///
    /// Without it, the authorities of the public web are trusted, which seldom sign for an etcd.
    pub fn tls_authority(mut self, path: impl AsRef<Path>) -> Self {
        self.access.set_authority(path.as_ref());
        self
    }

    /// Sets the PEM files with this client's certificate and its private key.
    ///
    /// # Limits
    /// etcd's gateway does not take the certificate's common name for the user: give
    /// [`credentials`](Self::credentials) as well where etcd asks for a login.
    pub fn tls_identity(mut self, certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.access.set_identity(certificate.as_ref(), key.as_ref());
        self
    }

    /// Sets the text by which this contender describes itself to people: 63 bytes at most.
    pub fn description(mut self, text: &str) -> Self {
        self.local = self.local.description(text);
        text.clone_into(&mut self.description);
        self
    }

    /// Sets the directory of the local lock's file, see [`shmlock::Builder::directory`].
    pub fn directory(mut self, directory: impl AsRef<Path>) -> Self {
        self.local = self.local.directory(directory);
        self
    }

    /// Changes the settings of the local lock: its mode, its trusted owner, its lifeline.
    ///
    /// Its directory, description and exit event have calls of their own here.
    ///
    /// # Examples
    /// ```no_run
    /// # use shmlock_fleet::FleetLock;
    /// let lock = FleetLock::builder("deploy", ["http://10.0.0.7:2379"])
    ///     .local(|local| local.mode(0o660))
    ///     .open()?;
    /// # Ok::<(), shmlock_fleet::Error>(())
    /// ```
    pub fn local(mut self, change: impl FnOnce(shmlock::Builder) -> shmlock::Builder) -> Self {
        self.local = change(self.local);
        self
    }

    /// Sets the event that ends a call, on the local lock and in the fleet, even while a request
    /// has no answer: [`Error::is_cancelled`](crate::Error::is_cancelled) knows both errors.
    ///
    /// The call then returns within [`withdrawal_time`](Self::withdrawal_time). A free lock is
    /// acquired all the same if the servers answer within that time. A waiter sleeps on the event:
    /// it does not poll (before Linux 5.16, twenty times a second).
    pub fn exit_event(mut self, event: &ExitEvent) -> Self {
        self.local = self.local.exit_event(event);
        self
    }

    /// Sets an event that is set when a held lock is lost. It stays set until it is cleared.
    pub fn loss_event(mut self, event: &ExitEvent) -> Self {
        self.listeners.event = Some(event.clone());
        self
    }

    /// Sets a function that is called when a held lock is lost, in a thread of its own, once at
    /// most for each acquisition.
    ///
    /// The release of the lock waits until a call that has begun is over. The function is not
    /// called after the release.
    pub fn on_loss(mut self, callback: impl Fn(Loss) + Send + Sync + 'static) -> Self {
        self.listeners.callback = Some(Arc::new(callback));
        self
    }

    /// Opens the local lock and prepares the client. No server is asked.
    ///
    /// Blocks as [`shmlock::Builder::open`] does.
    ///
    /// # Errors
    /// [`Error::Local`](crate::Error::Local),
    /// [`Error::InvalidEndpoint`](crate::Error::InvalidEndpoint),
    /// [`Error::InvalidSettings`](crate::Error::InvalidSettings),
    /// [`Error::TlsFile`](crate::Error::TlsFile).
    pub fn open(self) -> Result<FleetLock> {
        let ttl = self.ttl;
        let margin = self.margin.unwrap_or_else(|| default_margin(ttl));
        let request_timeout = self.request_timeout.unwrap_or_else(|| default_request_timeout(ttl));
        check(ttl, margin, request_timeout)?;
        let etcd = self.access.client(prefix_of(&self.name), request_timeout)?;
        let local = self.local.open()?;
        let settings = Settings {
            ttl,
            margin,
            request_timeout,
            withdrawal_time: self.withdrawal_time,
            description: self.description,
            listeners: self.listeners,
        };
        Ok(FleetLock::new(local, etcd, settings))
    }
}

impl fmt::Debug for FleetBuilder {
    /// Leaves the password out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetBuilder")
            .field("name", &self.name)
            .field("endpoints", &self.access.shown())
            .field("ttl", &self.ttl)
            .finish_non_exhaustive()
    }
}
