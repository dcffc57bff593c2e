//! Implements one stay in the queue: a lease, its key, and the threads that care for them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::alarm::{Alarm, Listeners};
use crate::error::Result;
use crate::etcd::Etcd;
use crate::hold::Hold;
use crate::keeper::{Keeper, Lease};

/// A contender's key in etcd. Dropped, it is withdrawn.
pub(crate) struct Session {
    etcd: Arc<Etcd>,
    lease: Lease,
    hold: Arc<Hold>,
    keeper: Option<Keeper>,
    alarm: Option<Alarm>,
    /// How long the withdrawal may take.
    limit: Duration,
}

impl Session {
    pub(crate) fn new(
        etcd: &Arc<Etcd>,
        lease: Lease,
        hold: Arc<Hold>,
        keeper: Keeper,
        limit: Duration,
    ) -> Self {
        Self { etcd: Arc::clone(etcd), lease, hold, keeper: Some(keeper), alarm: None, limit }
    }

    pub(crate) fn token(&self) -> i64 {
        self.lease.token
    }

    pub(crate) fn hold(&self) -> &Hold {
        &self.hold
    }

    /// Begins to tell of a loss: the lock is acquired.
    pub(crate) fn listen(&mut self, listeners: &Listeners) -> Result<()> {
        self.alarm = Alarm::start(&self.hold, listeners)?;
        Ok(())
    }

    /// Deletes the key and revokes the lease. Returns `true` if the key was still there.
    pub(crate) fn withdraw(mut self) -> Result<bool> {
        self.withdraw_once()
    }

    fn withdraw_once(&mut self) -> Result<bool> {
        self.alarm = None;
        if self.keeper.take().is_none() {
            return Ok(false);
        }
        let begin = Instant::now();
        let Lease { id, token, .. } = self.lease;
        let deleted = self.etcd.delete(id, token, self.limit);
        // Not after a failure: the lease ends by itself, and the caller has waited long enough.
        if deleted.is_ok() {
            self.etcd.revoke(id, self.limit.saturating_sub(begin.elapsed()))?;
        }
        deleted
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.withdraw_once(); // if it fails, the lease ends by itself
    }
}
