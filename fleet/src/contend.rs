//! Contends for the fleet: from a lease to the first place in the queue.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use shmlock::ExitEvent;

use crate::clock::BootInstant;
use crate::error::{Error, Result};
use crate::etcd::{Etcd, Granted, Key, Look, Watched};
use crate::hold::Hold;
use crate::holder::{Card, FleetHolder};
use crate::keeper::{Keeper, Lease};
use crate::loss::Loss;
use crate::protocol::{Place, own_deadline, place};
use crate::session::Session;
use crate::settings::Settings;

/// How often an exit event is looked at: it has no descriptor to wait for.
const EVENT_INTERVAL: Duration = Duration::from_millis(50);

/// The pause before a server that failed is asked again.
const BACKOFF: Duration = Duration::from_millis(100);

/// A contender of one call.
pub(crate) struct Contender<'a> {
    pub(crate) etcd: &'a Arc<Etcd>,
    pub(crate) settings: &'a Settings,
    pub(crate) name: &'a str,
    /// The end of the caller's patience.
    pub(crate) until: Option<Instant>,
    pub(crate) exit_event: Option<&'a ExitEvent>,
}

/// The end of a stay in the queue.
enum End {
    First,
    LostWaiting,
    LostAtOnce(Loss),
}

/// The end of a wait.
#[derive(Clone, Copy)]
enum Wait {
    /// The queue has to be read again.
    Over,
    /// The caller's patience has ended.
    TimedOut,
    Cancelled,
}

impl Contender<'_> {
    /// Acquires the lock if no contender of another machine has a key. `None` if one has.
    pub(crate) fn try_once(&self) -> Result<Option<Session>> {
        match self.join(true)? {
            Some((session, _)) => self.unless_lost(session).map(Some),
            None => Ok(None),
        }
    }

    /// Acquires the lock, waiting for its turn.
    pub(crate) fn wait(&self) -> Result<Session> {
        loop {
            let Some((session, look)) = self.join(false)? else { continue };
            match self.until_first(&session, look) {
                Ok(End::First) => return self.unless_lost(session),
                Ok(End::LostWaiting) => {} // this process was stopped, say: from the start
                // A lease that ends before its key is read would do so again and again.
                Ok(End::LostAtOnce(loss)) => {
                    return Err(Error::Lost { name: self.name.to_owned(), loss });
                }
                Err(Error::TimedOut { name, .. }) => {
                    let holder = self.first_holder();
                    let _ = session.withdraw(); // a lease that stays ends by itself
                    return Err(Error::TimedOut { name, holder });
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Asks for a lease and puts a key. `None` if `only_first`, and there are other keys.
    fn join(&self, only_first: bool) -> Result<Option<(Session, Look)>> {
        let Settings { ttl, margin, request_timeout, .. } = *self.settings;
        let sent = BootInstant::now();
        let Granted { id, ttl } = self.etcd.grant(ttl, ttl)?;
        let hold = Hold::new(own_deadline(sent, ttl, margin))
            .map_err(|source| Error::System { operation: "make the timer of a lease", source })?;
        let card = Card::own(&self.settings.description).to_bytes();
        let (token, look) = match self.etcd.put(id, &card, only_first, hold.left()) {
            Ok(Some(put)) => put,
            other => {
                // The key may be there although the answer says nothing: it goes with the lease.
                let _ = self.etcd.revoke(id, request_timeout);
                return other.map(|_| None);
            }
        };
        let (hold, lease) = (Arc::new(hold), Lease { id, token, ttl, margin });
        let keeper = Keeper::start(self.etcd, lease, &hold, sent)?;
        let session = Session::new(self.etcd, lease, hold, keeper, request_timeout);
        Ok(Some((session, look)))
    }

    /// Waits until the session has the first place, or its lease has ended.
    ///
    /// Failures of the servers are passed over for as long as the lease lives.
    fn until_first(&self, session: &Session, mut look: Look) -> Result<End> {
        let mut has_waited = false;
        let lost = |loss, has_waited| {
            if has_waited { End::LostWaiting } else { End::LostAtOnce(loss) }
        };
        loop {
            if let Some(loss) = session.hold().loss() {
                return Ok(lost(loss, has_waited));
            }
            let before = match place(session.token(), &look.newest_first) {
                Place::Gone => return Ok(lost(Loss::KeyGone, has_waited)),
                Place::First => return Ok(End::First),
                Place::Behind(before) => before,
            };
            let own = look.newest_first[0].0.clone();
            self.watch(session, vec![before, own], look.revision + 1)?;
            has_waited = true;
            look = loop {
                match self.etcd.look(session.token(), session.hold().left()) {
                    Ok(look) => break look,
                    Err(_) if session.hold().loss().is_some() => return Ok(End::LostWaiting),
                    Err(error) if error.is_passing() => self.go_on(self.pause(BACKOFF))?,
                    Err(error) => return Err(error),
                }
            };
        }
    }

    /// Waits until one of `keys` is deleted, or a look is due in any case.
    fn watch(&self, session: &Session, keys: Vec<Key>, from: i64) -> Result<()> {
        // A deletion that is never told (a partition without a reset) delays a waiter by one TTL.
        let limit = session.hold().left().max(BACKOFF);
        let told = self.etcd.watch(keys, from, limit)?;
        self.go_on(match wait_for(&told, limit, self.until, self.exit_event) {
            Ok(Some(Watched::Failed(error))) if !error.is_passing() => return Err(error),
            Ok(Some(Watched::Failed(_))) => self.pause(BACKOFF),
            Ok(_) => Wait::Over,
            Err(end) => end,
        })
    }

    /// Turns the end of a wait into an error of the call, if it is one.
    fn go_on(&self, end: Wait) -> Result<()> {
        let name = self.name.to_owned();
        match end {
            Wait::Over => Ok(()),
            Wait::TimedOut => Err(Error::TimedOut { name, holder: None }),
            Wait::Cancelled => Err(Error::Cancelled { name }),
        }
    }

    fn pause(&self, time: Duration) -> Wait {
        let (_never, told) = std::sync::mpsc::channel::<()>();
        wait_for(&told, time, self.until, self.exit_event).err().unwrap_or(Wait::Over)
    }

    /// Reads the holder, for the error of a time limit.
    fn first_holder(&self) -> Option<Box<FleetHolder>> {
        let (token, value) = self.etcd.first(self.settings.request_timeout).ok()??;
        Some(Box::new(FleetHolder::of(&value, token)))
    }

    /// Returns the session if its lease lives at this moment.
    fn unless_lost(&self, session: Session) -> Result<Session> {
        match session.hold().loss() {
            None => Ok(session),
            Some(loss) => Err(Error::Lost { name: self.name.to_owned(), loss }),
        }
    }
}

/// Waits for a message, for `limit` at most; `None` after it. Looks at the caller's patience and
/// at the exit event meanwhile.
fn wait_for<T>(
    told: &Receiver<T>,
    limit: Duration,
    until: Option<Instant>,
    exit_event: Option<&ExitEvent>,
) -> std::result::Result<Option<T>, Wait> {
    let begin = Instant::now();
    loop {
        if exit_event.is_some_and(|event| event.is_set().unwrap_or(true)) {
            return Err(Wait::Cancelled);
        }
        let now = Instant::now();
        if until.is_some_and(|until| now >= until) {
            return Err(Wait::TimedOut);
        }
        let mut pause = limit.saturating_sub(now - begin);
        if pause.is_zero() {
            return Ok(None);
        }
        if let Some(until) = until {
            pause = pause.min(until - now);
        }
        if exit_event.is_some() {
            pause = pause.min(EVENT_INTERVAL);
        }
        match told.recv_timeout(pause) {
            Ok(message) => return Ok(Some(message)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
        }
    }
}
