//! Renews a lease until its contender leaves or the lease is lost.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::BootInstant;
use crate::error::{Error, Result};
use crate::etcd::{Etcd, Look};
use crate::hold::Hold;
use crate::inbox::{Inbox, Message};
use crate::loss::Loss;
use crate::protocol::{Renewal, Verdict, judge, own_deadline, own_revision};

/// How often a lease is renewed within a TTL, as by etcd's own clients: after a renewal that fails
/// there is time for more.
const RENEWALS: u32 = 3;

/// How often a server that failed is asked within a TTL; so is one after an election. Arbitrary:
/// often enough for several attempts before the own deadline, and seldom enough for a busy server.
const ATTEMPTS: u32 = 10;

/// A lease and the key that is bound to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    pub(crate) id: i64,
    pub(crate) token: i64,
    pub(crate) ttl: Duration,
    pub(crate) margin: Duration,
}

/// One stay in the queue: a lease, its key, and the instant of the next renewal.
pub(crate) struct Stay {
    pub(crate) etcd: Arc<Etcd>,
    pub(crate) lease: Lease,
    pub(crate) hold: Arc<Hold>,
    next: BootInstant,
}

impl Stay {
    /// Begins a stay. `sent` is the instant at which the lease was asked for.
    pub(crate) fn new(etcd: Arc<Etcd>, lease: Lease, hold: Arc<Hold>, sent: BootInstant) -> Self {
        Self { etcd, lease, hold, next: sent.after(lease.ttl / RENEWALS) }
    }

    /// Returns the time until the next renewal is due.
    pub(crate) fn until_renewal(&self) -> Duration {
        BootInstant::now().until(self.next)
    }

    /// Renews until the contender leaves, or the lease is lost.
    pub(crate) fn keep(mut self, inbox: &Inbox) {
        while self.hold.loss().is_none() {
            match inbox.next(self.until_renewal()) {
                Some(Message::Leave(_)) => return,
                Some(Message::Watched(..)) => {} // the end of a watch from the time in the queue
                None => drop(self.renew()),
            }
        }
    }

    /// Renews once. Returns the reading after it; `None` if there was no answer, or the lease is
    /// lost.
    pub(crate) fn renew(&mut self) -> Option<Look> {
        if self.hold.loss().is_some() {
            return None;
        }
        let sent = BootInstant::now();
        let renewed = self.ask();
        self.next = BootInstant::now().after(self.lease.ttl / ATTEMPTS);
        let (verdict, ttl, look) = match renewed {
            Ok(renewed) => renewed,
            // The lock in the other cluster may have a holder.
            Err(Error::OtherCluster { .. }) => {
                self.hold.lose(Loss::OtherCluster);
                return None;
            }
            Err(_) => return None,
        };
        self.hold.renew(verdict, own_deadline(sent, ttl, self.lease.margin));
        if verdict == Verdict::Renewed {
            self.next = sent.after(ttl / RENEWALS);
            self.etcd.remind_endpoints(self.lease.id, self.lease.token, look.member);
        }
        self.hold.loss().is_none().then_some(look)
    }

    /// Keeps the lease alive, then reads the key.
    fn ask(&self) -> Result<(Verdict, Duration, Look)> {
        let Self { etcd, lease, hold, .. } = self;
        etcd.check_endpoints()?;
        let kept = etcd.keep_alive(lease.id, hold.left())?;
        let look = etcd.look(lease.token, hold.left())?;
        let renewal = Renewal {
            ttl: kept.ttl,
            renewed_in: kept.term,
            own_revision: own_revision(&etcd.key_of(lease.id), &look.newest_first),
            read_in: look.term,
        };
        let ttl = Duration::from_secs(u64::try_from(kept.ttl).unwrap_or_default());
        Ok((judge(lease.token, renewal), ttl, look))
    }
}
