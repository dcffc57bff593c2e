//! Contends for the fleet: from a lease to the first place in the queue.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock::BootInstant;
use crate::error::{Error, Result};
use crate::etcd::{Etcd, Granted, Look, Watched};
use crate::hold::Hold;
use crate::holder::{FleetHolder, Record};
use crate::inbox::{Inbox, Leave, Message};
use crate::keeper::{Lease, Stay};
use crate::loss::Loss;
use crate::protocol::{Next, Place, next, own_deadline, place, watch_after};
use crate::session::withdraw;
use crate::settings::Settings;

/// The pause before a server that failed is asked again. Arbitrary: short beside the shortest TTL,
/// so that a waiter soon sees its turn, and long beside a refused connection.
const BACKOFF: Duration = Duration::from_millis(100);

/// The part of the request timeout for which the first contender of a handle waits for endpoints
/// that do not show its key. Arbitrary: far more than a member takes for an answer, and far less
/// than most commands run, which wait so long while a member is silent.
const COMPARISON: u32 = 5;

/// A contender of one call.
pub(crate) struct Contender {
    pub(crate) etcd: Arc<Etcd>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) name: String,
    /// The end of the caller's patience.
    pub(crate) until: Option<Instant>,
    /// `true` if it does not wait for its turn.
    pub(crate) is_once: bool,
}

/// The end of contending.
pub(crate) enum Contended {
    /// The lock is acquired.
    First(Stay),
    /// A contender that does not wait has found another. Its lease has no key.
    Busy { lease: i64 },
}

/// The answer to a put.
enum Joined {
    Queued(Stay, Look),
    /// The contender does not wait, and there are other keys. Its lease has no key.
    Busy {
        lease: i64,
    },
}

/// The end of a stay in the queue.
enum End {
    First,
    LostWaiting,
    LostAtOnce(Loss),
    Left(Leave),
}

/// The end of a wait in the queue.
enum Wake {
    /// This reading shows a change.
    Seen(Look),
    /// The queue has to be read again.
    Look,
    Lost,
    Left(Leave),
}

impl Contender {
    /// Contends until it is first, or the lock is busy, or the caller leaves.
    pub(crate) fn contend(&self, inbox: &Inbox) -> Result<Contended> {
        loop {
            let (mut stay, look) = match self.join()? {
                Joined::Queued(stay, look) => (stay, look),
                Joined::Busy { lease } => return Ok(Contended::Busy { lease }),
            };
            let end =
                self.compare(&stay, &look).and_then(|()| self.until_first(&mut stay, look, inbox));
            let holder = match end {
                Ok(End::First) => return Ok(Contended::First(stay)),
                // A caller that does not wait any more is told of the holder, not of itself.
                Ok(End::Left(Leave::TimedOut)) => self.first_holder(),
                _ => None,
            };
            let limit = self.settings.request_timeout;
            let _ = withdraw(&self.etcd, stay.lease, limit); // else the lease ends by itself
            let name = self.name.clone();
            match end? {
                End::First | End::LostWaiting => {} // this process was stopped, say: from the start
                // A lease that ends before its key is read would do so again and again.
                End::LostAtOnce(loss) => return Err(Error::Lost { name, loss }),
                End::Left(Leave::TimedOut) => {
                    return Err(Error::TimedOut { name, holder, cause: None });
                }
                End::Left(_) => return Err(Error::Cancelled { name }),
            }
        }
    }

    /// Asks for a lease and puts a key.
    fn join(&self) -> Result<Joined> {
        let Settings { ttl, margin, request_timeout, .. } = *self.settings;
        // Before the lease: what the system may refuse.
        let mut hold = Hold::new(!self.settings.listeners.is_empty())
            .map_err(|source| Error::System { operation: "make the timer of a lease", source })?;
        let sent = BootInstant::now();
        let Granted { id, ttl } = self.etcd.grant(ttl, self.limit(ttl))?;
        hold.begin(own_deadline(sent, ttl, margin));
        let record = Record::own(&self.settings.description).to_bytes();
        let put = self.etcd.put(id, &record, self.is_once, self.limit(hold.left()));
        let (token, look) = match put {
            Ok(Some((token, look))) => (token, look),
            Ok(None) => return Ok(Joined::Busy { lease: id }),
            Err(error) => {
                // The key may be there although the answer says nothing: it goes with the lease.
                let _ = self.etcd.revoke(id, request_timeout);
                return Err(match hold.loss() {
                    Some(loss) => Error::Lost { name: self.name.clone(), loss },
                    None => error,
                });
            }
        };
        let lease = Lease { id, token, ttl, margin };
        Ok(Joined::Queued(Stay::new(Arc::clone(&self.etcd), lease, Arc::new(hold), sent), look))
    }

    /// Checks that the endpoints that answer have the key that was put.
    fn compare(&self, stay: &Stay, look: &Look) -> Result<()> {
        let longest = self.settings.request_timeout / COMPARISON;
        // Half of the time that is left: the lock may be free.
        let limit = self.limit((longest * 2).min(stay.hold.left())) / 2;
        let Lease { id, token, .. } = stay.lease;
        self.etcd.compare_endpoints(id, token, look.member, limit)
    }

    /// Waits until the session has the first place, or its lease has ended, or the caller leaves.
    ///
    /// Failures of the servers are passed over for as long as the lease lives.
    fn until_first(&self, stay: &mut Stay, mut look: Look, inbox: &Inbox) -> Result<End> {
        let mut watches = 0;
        let lost = |loss, watches| {
            if watches > 0 { End::LostWaiting } else { End::LostAtOnce(loss) }
        };
        loop {
            let place = place(stay.lease.token, &look.newest_first);
            let before = match next(place, stay.hold.loss()) {
                Next::Leave(why) => return Ok(lost(why, watches)),
                Next::Hold => return Ok(End::First),
                Next::Watch(before) => before,
            };
            watches += 1;
            let woken = self.watch(stay, &before, look.revision, watches, inbox)?;
            let woken = if let Wake::Look = woken { self.look(stay, inbox)? } else { woken };
            look = match woken {
                Wake::Seen(look) => look,
                Wake::Lost => return Ok(End::LostWaiting),
                Wake::Left(why) => return Ok(End::Left(why)),
                Wake::Look => look,
            };
        }
    }

    /// Waits until the key before the own one, or the own one, is deleted. Renews meanwhile.
    fn watch(
        &self,
        stay: &mut Stay,
        before: &[u8],
        revision: i64,
        number: u64,
        inbox: &Inbox,
    ) -> Result<Wake> {
        let own = self.etcd.key_of(stay.lease.id);
        let (keys, from) = watch_after(revision, before.to_vec(), own);
        let inform = inbox.sender();
        let _watch = self.etcd.watch(keys.into(), from, move |end| {
            let _ = inform.send(Message::Watched(number, end)); // the contender may have left
        })?;
        loop {
            match inbox.next(stay.until_renewal()) {
                Some(Message::Leave(why)) => return Ok(Wake::Left(why)),
                Some(Message::Watched(other, _)) if other != number => {} // a former watch
                Some(Message::Watched(_, Watched::Deleted)) => return Ok(Wake::Look),
                Some(Message::Watched(_, Watched::Failed(error))) if error.is_passing() => {
                    return Ok(pause(inbox).map_or(Wake::Look, Wake::Left));
                }
                Some(Message::Watched(_, Watched::Failed(error))) => return Err(error),
                None => match stay.renew() {
                    // A deletion that is never told (a partition without a reset) is seen here.
                    Some(look) => {
                        let now = place(stay.lease.token, &look.newest_first);
                        if now != Place::Behind(before.to_vec()) {
                            return Ok(Wake::Seen(look));
                        }
                    }
                    None if stay.hold.loss().is_some() => return Ok(Wake::Lost),
                    None => {}
                },
            }
        }
    }

    /// Reads the queue, for as long as the lease lives.
    fn look(&self, stay: &mut Stay, inbox: &Inbox) -> Result<Wake> {
        loop {
            if stay.hold.loss().is_some() {
                return Ok(Wake::Lost);
            }
            if stay.until_renewal().is_zero() {
                if let Some(look) = stay.renew() {
                    return Ok(Wake::Seen(look));
                }
                continue;
            }
            match self.etcd.look(stay.lease.token, self.limit(stay.hold.left())) {
                Ok(look) => return Ok(Wake::Seen(look)),
                Err(error) if error.is_passing() => {
                    if let Some(why) = pause(inbox) {
                        return Ok(Wake::Left(why));
                    }
                }
                Err(_) if stay.hold.loss().is_some() => return Ok(Wake::Lost),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads the holder, for the error of a time limit.
    fn first_holder(&self) -> Option<Box<FleetHolder>> {
        let (token, value) = self.etcd.first(self.settings.request_timeout).ok()??;
        Some(Box::new(FleetHolder::of(&value, token)))
    }

    /// Returns the time for a request: `longest`, but not beyond the caller's patience.
    fn limit(&self, longest: Duration) -> Duration {
        self.until
            .map_or(longest, |until| longest.min(until.saturating_duration_since(Instant::now())))
    }
}

/// Waits before a server that failed is asked again. Returns the reason if the caller leaves.
fn pause(inbox: &Inbox) -> Option<Leave> {
    let end = Instant::now() + BACKOFF;
    loop {
        match inbox.next(end.saturating_duration_since(Instant::now())) {
            Some(Message::Leave(why)) => return Some(why),
            Some(Message::Watched(..)) => {} // a former watch
            None => return None,
        }
    }
}
