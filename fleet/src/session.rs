//! Implements the hold on the fleet's lock: a lease, its key, and the threads that care for them.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use shmlock::process_generation;

use crate::alarm::{Alarm, Listeners};
use crate::error::{Error, Result};
use crate::etcd::Etcd;
use crate::hold::Hold;
use crate::inbox::{Leave, Message};
use crate::keeper::{Lease, Stay};
use crate::loss::Loss;

/// A hold. Dropped, it is withdrawn; in a forked child nothing is.
pub(crate) struct Session {
    /// Taken by the withdrawal.
    parts: Option<Parts>,
    token: i64,
    /// The process that acquired it.
    origin: u32,
}

struct Parts {
    etcd: Arc<Etcd>,
    lease: Lease,
    hold: Arc<Hold>,
    /// To the thread that renews.
    keeper: Sender<Message>,
    alarm: Option<Alarm>,
    /// How long the withdrawal may take.
    limit: Duration,
}

impl Session {
    pub(crate) fn new(stay: &Stay, keeper: Sender<Message>, limit: Duration) -> Self {
        let (etcd, hold) = (Arc::clone(&stay.etcd), Arc::clone(&stay.hold));
        Self {
            parts: Some(Parts { etcd, lease: stay.lease, hold, keeper, alarm: None, limit }),
            token: stay.lease.token,
            origin: process_generation(),
        }
    }

    pub(crate) fn token(&self) -> i64 {
        self.token
    }

    /// Returns `true` in a forked child.
    pub(crate) fn is_inherited(&self) -> bool {
        self.origin != process_generation()
    }

    pub(crate) fn loss(&self) -> Option<Loss> {
        if self.is_inherited() {
            return Some(Loss::Forked); // not by `hold`: a thread may have had its mutex
        }
        self.parts.as_ref().and_then(|parts| parts.hold.loss())
    }

    pub(crate) fn left(&self) -> Duration {
        match &self.parts {
            Some(parts) if !self.is_inherited() => parts.hold.left(),
            _ => Duration::ZERO,
        }
    }

    pub(crate) fn overdue(&self) -> Duration {
        match &self.parts {
            Some(parts) if !self.is_inherited() => parts.hold.overdue(),
            _ => Duration::ZERO,
        }
    }

    /// Begins to tell of a loss: the lock is acquired.
    pub(crate) fn listen(&mut self, listeners: &Listeners) -> Result<()> {
        if let Some(parts) = &mut self.parts {
            parts.alarm = Alarm::start(&parts.hold, listeners)?;
        }
        Ok(())
    }

    /// Deletes the key and revokes the lease. Returns `true` if the key was still there.
    ///
    /// # Errors
    /// [`Error::Forked`]; those of the server that was to delete the key.
    pub(crate) fn withdraw(mut self) -> Result<bool> {
        self.withdraw_once()
    }

    fn withdraw_once(&mut self) -> Result<bool> {
        let Some(parts) = self.parts.take() else { return Ok(false) };
        if self.is_inherited() {
            // No thread of these exists here, but what they had locked at the fork remains locked.
            std::mem::forget(parts);
            return Err(Error::Forked);
        }
        let Parts { etcd, lease, keeper, alarm, limit, .. } = parts;
        drop(alarm); // no listener is told from here on
        let _ = keeper.send(Message::Leave(Leave::Released)); // it has ended if the lease is lost
        withdraw(&etcd, lease, limit)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.withdraw_once(); // if it fails, the lease ends by itself
    }
}

/// Deletes a key and revokes its lease. Returns `true` if the key was still there.
///
/// A revocation that fails is no error: a lease without a key ends by itself, and blocks nothing.
pub(crate) fn withdraw(etcd: &Etcd, lease: Lease, limit: Duration) -> Result<bool> {
    let begin = Instant::now();
    let is_deleted = etcd.delete(lease.id, lease.token, limit)?;
    let _ = etcd.revoke(lease.id, limit.saturating_sub(begin.elapsed()));
    Ok(is_deleted)
}
