//! Implements the handle of a fleet lock.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shmlock::{Guard, ShmLock};

use crate::contend::Contender;
use crate::error::{Error, Result};
use crate::etcd::Etcd;
use crate::guard::{FleetGuard, HeldMark};
use crate::holder::FleetHolder;
use crate::session::Session;
use crate::settings::Settings;

/// A handle of a lock that machines share through etcd.
///
/// Each acquisition first acquires the lock of the same name on this machine, so at most one
/// process of each machine contends for the fleet. A handle is one contender, like [`ShmLock`]: it
/// is `Send` and not `Sync`, and it does not nest.
///
/// # Examples
/// ```no_run
/// use shmlock_fleet::FleetLock;
///
/// let lock = FleetLock::builder("deploy", ["http://10.0.0.7:2379"]).open()?;
/// let guard = lock.lock()?;
/// // Send the token with each request; the resource refuses smaller ones.
/// println!("deploying with token {}", guard.fencing_token());
/// guard.check()?; // not lost so far
/// guard.release()?;
/// # Ok::<(), shmlock_fleet::Error>(())
/// ```
pub struct FleetLock {
    local: ShmLock,
    etcd: Arc<Etcd>,
    settings: Settings,
    is_held: Cell<bool>,
}

impl FleetLock {
    pub(crate) fn new(local: ShmLock, etcd: Etcd, settings: Settings) -> Self {
        Self { local, etcd: Arc::new(etcd), settings, is_held: Cell::new(false) }
    }

    /// Returns the lock's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.local.name()
    }

    /// Returns the lock of this name on this machine, which every acquisition acquires first.
    ///
    /// For looking at it, as at its holder. A hold on it alone keeps this machine's processes out,
    /// and no other machine's.
    #[must_use]
    pub fn local(&self) -> &ShmLock {
        &self.local
    }

    /// Acquires the lock, and waits for its turn without a limit.
    ///
    /// Blocks, on the local lock first. A waiter of the fleet sleeps on a watch of the key before
    /// its own; one renewal for each third of a TTL keeps its place. While it waits, failures of
    /// the servers are passed over as long as its lease lives.
    ///
    /// # Errors
    /// Those of the server if none answers, [`Error::Cancelled`], [`Error::Nested`],
    /// [`Error::Local`]; [`Error::Lost`] if the servers are so slow that a lease ends before its
    /// key is read.
    pub fn lock(&self) -> Result<FleetGuard<'_>> {
        let mark = self.mark()?;
        let local = self.local.lock()?;
        let session = self.contender(None).wait()?;
        self.guard(session, mark, local)
    }

    /// Tries to acquire the lock once. Returns `None` if another handle of any machine holds it,
    /// or waits for it.
    ///
    /// Does not wait for the holder; blocks for the answers of the servers.
    ///
    /// # Errors
    /// Those of [`lock`](Self::lock).
    pub fn try_lock(&self) -> Result<Option<FleetGuard<'_>>> {
        let mark = self.mark()?;
        let Some(local) = self.local.try_lock()? else { return Ok(None) };
        let Some(session) = self.contender(None).try_once()? else { return Ok(None) };
        self.guard(session, mark, local).map(Some)
    }

    /// Acquires the lock, waiting for its turn for `timeout` at most. Zero is one try.
    ///
    /// # Errors
    /// [`Error::TimedOut`], which names the holder, or [`Error::Local`] with the local error of
    /// that kind: [`Error::is_timed_out`] knows both. Else those of [`lock`](Self::lock).
    pub fn try_lock_for(&self, timeout: Duration) -> Result<FleetGuard<'_>> {
        match Instant::now().checked_add(timeout) {
            Some(until) => self.try_lock_until(until),
            None => self.lock(),
        }
    }

    /// Acquires the lock, waiting for its turn until `deadline` at most.
    ///
    /// A free lock is acquired whatever the deadline. A request to the servers is not cut short by
    /// the deadline, and a withdrawal follows it: the call returns late by their answers.
    ///
    /// # Errors
    /// Those of [`try_lock_for`](Self::try_lock_for).
    pub fn try_lock_until(&self, deadline: Instant) -> Result<FleetGuard<'_>> {
        let mark = self.mark()?;
        let local = self.local.try_lock_until(deadline)?;
        let session = self.contender(Some(deadline)).wait()?;
        self.guard(session, mark, local)
    }

    /// Reads which contender holds the lock, in the whole fleet. `None` if it is free.
    ///
    /// Changes nothing. Blocks for the answer of the servers.
    ///
    /// # Errors
    /// Those of the server.
    pub fn holder(&self) -> Result<Option<FleetHolder>> {
        let first = self.etcd.first(self.settings.request_timeout)?;
        Ok(first.map(|(token, value)| FleetHolder::of(&value, token)))
    }

    fn mark(&self) -> Result<HeldMark<'_>> {
        HeldMark::set(&self.is_held).ok_or_else(|| Error::Nested { name: self.name().to_owned() })
    }

    fn contender(&self, until: Option<Instant>) -> Contender<'_> {
        Contender {
            etcd: &self.etcd,
            settings: &self.settings,
            name: self.name(),
            until,
            exit_event: self.local.exit_event(),
        }
    }

    fn guard<'a>(
        &'a self,
        mut session: Session,
        mark: HeldMark<'a>,
        local: Guard<'a>,
    ) -> Result<FleetGuard<'a>> {
        session.listen(&self.settings.listeners)?;
        Ok(FleetGuard::new(session, mark, local, self.name()))
    }
}

impl fmt::Debug for FleetLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FleetLock")
            .field("name", &self.name())
            .field("prefix", &self.etcd.prefix())
            .finish_non_exhaustive()
    }
}
