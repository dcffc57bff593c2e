//! Renews a lease until it is stopped or the lease is lost.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use crate::clock::BootInstant;
use crate::error::{Error, Result};
use crate::etcd::Etcd;
use crate::hold::Hold;
use crate::loss::Loss;
use crate::protocol::{Renewal, Verdict, judge, own_deadline};

/// A lease and the key that is bound to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lease {
    pub(crate) id: i64,
    pub(crate) token: i64,
    pub(crate) ttl: Duration,
    pub(crate) margin: Duration,
}

/// The thread that renews. Dropped, it stops after a request that is under way.
pub(crate) struct Keeper {
    _stop: Sender<()>,
}

impl Keeper {
    /// Starts the thread. `sent` is the instant at which the lease was asked for.
    pub(crate) fn start(
        etcd: &Arc<Etcd>,
        lease: Lease,
        hold: &Arc<Hold>,
        sent: BootInstant,
    ) -> Result<Self> {
        let (stop, stopped) = channel::<()>();
        let (etcd, hold) = (Arc::clone(etcd), Arc::clone(hold));
        std::thread::Builder::new()
            .name("shmlock-fleet-k".into())
            .spawn(move || {
                let mut next = sent.after(lease.ttl / 3);
                loop {
                    let pause = BootInstant::now().until(next);
                    if stopped.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
                        return;
                    }
                    match renew_once(&etcd, lease, &hold) {
                        Some(then) => next = then,
                        None => return,
                    }
                }
            })
            .map_err(|source| Error::System { operation: "start a thread that renews", source })?;
        Ok(Self { _stop: stop })
    }
}

/// Renews once. Returns the instant of the next renewal; `None` if the lease is lost.
fn renew_once(etcd: &Etcd, lease: Lease, hold: &Hold) -> Option<BootInstant> {
    if hold.loss().is_some() {
        return None;
    }
    let sent = BootInstant::now();
    // A server that fails is asked again ten times within a TTL; so is one after an election.
    let again = || Some(BootInstant::now().after(lease.ttl / 10));
    let Ok((verdict, ttl)) = renew(etcd, lease, hold.left()) else { return again() };
    match verdict {
        Verdict::Renewed => {
            hold.extend(own_deadline(sent, ttl, lease.margin));
            Some(sent.after(ttl / 3))
        }
        Verdict::Unconfirmed => again(),
        Verdict::Expired => {
            hold.lose(Loss::Expired);
            None
        }
        Verdict::KeyGone => {
            hold.lose(Loss::KeyGone);
            None
        }
    }
}

/// Keeps the lease alive, then reads the key.
fn renew(etcd: &Etcd, lease: Lease, limit: Duration) -> Result<(Verdict, Duration)> {
    let kept = etcd.keep_alive(lease.id, limit)?;
    let look = etcd.look(lease.token, limit)?;
    let own = etcd.key_of(lease.id);
    let renewal = Renewal {
        ttl: kept.ttl,
        renewed_in: kept.term,
        own_revision: look
            .newest_first
            .iter()
            .find(|(key, _)| *key == own)
            .map(|&(_, revision)| revision),
        read_in: look.term,
    };
    let ttl = Duration::from_secs(u64::try_from(kept.ttl).unwrap_or_default());
    Ok((judge(lease.token, renewal), ttl))
}
