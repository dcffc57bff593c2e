//! Implements the handle of a fleet lock.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shmlock::{Guard, ShmLock};

use crate::call::acquire;
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
    settings: Arc<Settings>,
    is_held: Cell<bool>,
}

impl FleetLock {
    pub(crate) fn new(local: ShmLock, etcd: Etcd, settings: Settings) -> Self {
        let (etcd, settings) = (Arc::new(etcd), Arc::new(settings));
        Self { local, etcd, settings, is_held: Cell::new(false) }
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
    /// Those of the server if none answers within a TTL, [`Error::Cancelled`], [`Error::Nested`],
    /// [`Error::Forked`], [`Error::Local`]; [`Error::System`] if the system refuses a thread;
    /// [`Error::Lost`] if the servers are so slow that a lease ends before its key is read.
    pub fn lock(&self) -> Result<FleetGuard<'_>> {
        let mark = self.mark()?;
        let local = self.local.lock()?;
        self.waited(None, mark, local)
    }

    /// Tries to acquire the lock once. Returns `None` if another handle of any machine holds it,
    /// or waits for it.
    ///
    /// Does not wait for the holder. Blocks for the answers of the servers: for the
    /// [request timeout](crate::FleetBuilder::request_timeout) in all, which the members share,
    /// plus [`withdrawal_time`](crate::FleetBuilder::withdrawal_time).
    ///
    /// # Errors
    /// Those of [`lock`](Self::lock).
    pub fn try_lock(&self) -> Result<Option<FleetGuard<'_>>> {
        let mark = self.mark()?;
        let Some(local) = self.local.try_lock()? else { return Ok(None) };
        match self.contend_once()? {
            Some(session) => self.guard(session, mark, local).map(Some),
            None => Ok(None),
        }
    }

    /// Acquires the lock, waiting for its turn for `timeout` at most. Zero is one try.
    ///
    /// Blocks as [`try_lock_until`](Self::try_lock_until).
    ///
    /// # Errors
    /// Those of [`try_lock_until`](Self::try_lock_until).
    pub fn try_lock_for(&self, timeout: Duration) -> Result<FleetGuard<'_>> {
        match Instant::now().checked_add(timeout) {
            // A limit, too, if this thread has lost the processor for longer.
            Some(until) => self.try_within(until, timeout.is_zero()),
            None => self.lock(),
        }
    }

    /// Acquires the lock, waiting for its turn until `deadline` at most.
    ///
    /// Returns by the deadline plus
    /// [`withdrawal_time`](crate::FleetBuilder::withdrawal_time), whatever the servers do: a
    /// request that has no answer by the deadline is cut, and a contender that gives up leaves the
    /// queue in the background if that takes longer. A deadline that has passed already is one try,
    /// which blocks as [`try_lock`](Self::try_lock) does. A lock whose servers need longer for
    /// their answers than until the deadline is not acquired, even if it is free.
    ///
    /// # Errors
    /// [`Error::TimedOut`], which names the holder or the server without an answer, or
    /// [`Error::Local`] with the local error of that kind: [`Error::is_timed_out`] knows both. Else
    /// those of [`lock`](Self::lock).
    pub fn try_lock_until(&self, deadline: Instant) -> Result<FleetGuard<'_>> {
        self.try_within(deadline, deadline <= Instant::now())
    }

    /// Tries once, for the request timeout, or until `deadline`, which may be over by now.
    fn try_within(&self, deadline: Instant, is_once: bool) -> Result<FleetGuard<'_>> {
        let mark = self.mark()?;
        let local = self.local.try_lock_until(deadline)?;
        if !is_once {
            return self.waited(Some(deadline), mark, local);
        }
        match self.contend_once()? {
            Some(session) => self.guard(session, mark, local),
            None => Err(self.timed_out(self.holder().ok().flatten())),
        }
    }

    /// Reads which contender holds the lock, in the whole fleet. `None` if it is free.
    ///
    /// Changes nothing. Blocks for the answer of the servers.
    ///
    /// # Errors
    /// Those of the server.
    pub fn holder(&self) -> Result<Option<FleetHolder>> {
        self.check_process()?;
        let first = self.etcd.first(self.settings.request_timeout)?;
        Ok(first.map(|(token, value)| FleetHolder::of(&value, token)))
    }

    fn mark(&self) -> Result<HeldMark<'_>> {
        self.check_process()?; // before the mark, which may be the parent's
        HeldMark::set(&self.is_held).ok_or_else(|| Error::Nested { name: self.name().to_owned() })
    }

    fn check_process(&self) -> Result<()> {
        if self.local.is_inherited() { Err(Error::Forked) } else { Ok(()) }
    }

    /// Contends without waiting for the turn.
    fn contend_once(&self) -> Result<Option<Session>> {
        let until = Instant::now().checked_add(self.settings.request_timeout);
        acquire(self.contender(until, true), self.local.exit_event())
    }

    /// Contends with the local lock held, and waits for the turn.
    fn waited<'a>(
        &'a self,
        until: Option<Instant>,
        mark: HeldMark<'a>,
        local: Guard<'a>,
    ) -> Result<FleetGuard<'a>> {
        match acquire(self.contender(until, false), self.local.exit_event())? {
            Some(session) => self.guard(session, mark, local),
            None => Err(self.timed_out(None)), // only a contender that does not wait has none
        }
    }

    fn timed_out(&self, holder: Option<FleetHolder>) -> Error {
        let name = self.name().to_owned();
        Error::TimedOut { name, holder: holder.map(Box::new), cause: None }
    }

    fn contender(&self, until: Option<Instant>, is_once: bool) -> Contender {
        Contender {
            etcd: Arc::clone(&self.etcd),
            settings: Arc::clone(&self.settings),
            name: self.name().to_owned(),
            until,
            is_once,
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
