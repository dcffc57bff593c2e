//! Makes one acquisition: a thread contends, and the caller waits for it with its own patience.
//!
//! So neither a request without an answer nor a look-up of a name delays the caller beyond its
//! time limit or its exit event. The thread of a successful contender goes on to renew.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shmlock::ExitEvent;

use crate::contend::{Contended, Contender};
use crate::error::{Error, Result};
use crate::handoff::{Handoff, Waited};
use crate::inbox::{Inbox, Leave, Message};
use crate::session::Session;

type Outcome = Result<Option<Session>>;

/// ureq counts whole milliseconds: a request may end so much before its limit.
const EARLY: Duration = Duration::from_millis(2);

/// Acquires the lock; `None` if the contender does not wait and the lock is busy.
///
/// Returns by the contender's time limit, or once the event is set, plus
/// [`withdrawal_time`](crate::settings::Settings::withdrawal_time).
pub(crate) fn acquire(contender: Contender, exit_event: Option<&ExitEvent>) -> Outcome {
    let Contender { until, is_once, .. } = contender;
    let (name, settings) = (contender.name.clone(), Arc::clone(&contender.settings));
    let etcd = Arc::clone(&contender.etcd);
    let slow = || etcd.slow("neither an answer nor an error has come back");
    let inbox = Inbox::new();
    let thread = inbox.sender();
    let handoff = Arc::new(Handoff::new());
    let outcome = Outgoing(Arc::clone(&handoff));
    std::thread::Builder::new()
        .name("shmlock-fleet-k".into())
        .spawn(move || contend(&contender, &inbox, &outcome.0))
        .map_err(|source| Error::System { operation: "start a thread that contends", source })?;

    let never = ExitEvent::new();
    let why = match handoff.wait(until, exit_event.unwrap_or(&never)) {
        Waited::Outcome(outcome) => return timed_out_if_late(outcome, until, is_once, name),
        Waited::TimedOut => Leave::TimedOut,
        Waited::Cancelled => Leave::Cancelled,
    };
    let _ = thread.send(Message::Leave(why)); // it may just have ended
    let outcome = match handoff.wait(Some(Instant::now() + settings.withdrawal_time), &never) {
        Waited::Outcome(outcome) => Some(outcome),
        Waited::TimedOut | Waited::Cancelled => handoff.leave(),
    };
    match (outcome, why) {
        (Some(Err(error)), Leave::Cancelled) if error.is_passing() => {
            Err(Error::Cancelled { name })
        }
        (Some(outcome), _) => timed_out_if_late(outcome, until, is_once, name),
        (None, Leave::Cancelled) => Err(Error::Cancelled { name }),
        (None, _) if is_once => Err(slow()),
        (None, _) => Err(Error::TimedOut { name, holder: None, cause: Some(Box::new(slow())) }),
    }
}

/// Runs in the thread: contends, hands the outcome over, renews.
fn contend(contender: &Contender, inbox: &Inbox, handoff: &Handoff<Outcome>) {
    let limit = contender.settings.request_timeout;
    match contender.contend(inbox) {
        Ok(Contended::First(stay)) => {
            let session = Session::new(&stay, inbox.sender(), limit);
            match handoff.deliver(Ok(Some(session))) {
                None => stay.keep(inbox),
                Some(late) => drop(late), // it is withdrawn
            }
        }
        Ok(Contended::Busy { lease }) => {
            let _ = handoff.deliver(Ok(None));
            let _ = contender.etcd.revoke(lease, limit); // else it ends by itself
        }
        Err(error) => drop(handoff.deliver(Err(error))),
    }
}

/// A contender that waits has timed out if a request was cut at the time limit.
fn timed_out_if_late(
    outcome: Outcome,
    until: Option<Instant>,
    is_once: bool,
    name: String,
) -> Outcome {
    match outcome {
        Err(error @ Error::Slow { .. })
            if !is_once && until.is_some_and(|until| Instant::now() + EARLY >= until) =>
        {
            Err(Error::TimedOut { name, holder: None, cause: Some(Box::new(error)) })
        }
        outcome => outcome,
    }
}

/// The thread's side of the handoff: a thread that panics delivers an outcome too.
struct Outgoing(Arc<Handoff<Outcome>>);

impl Drop for Outgoing {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let source = std::io::Error::other("it has panicked");
            let operation = "contend: a thread of this library has ended";
            let _ = self.0.deliver(Err(Error::System { operation, source }));
        }
    }
}
