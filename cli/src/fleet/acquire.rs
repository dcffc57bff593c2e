//! Acquires a fleet lock as the arguments say, and reports the wait, as the local `acquire` does.

use std::time::{Duration, Instant};

use shmlock_fleet::{Error, FleetGuard, FleetHolder, FleetLock};

use super::failure::{explain, failure};
use crate::args::Waiting;
use crate::display::in_seconds;
use crate::exit::{Failure, SYSTEM, remark};
use crate::owner::{dead, held_by};
use crate::process::File;
use crate::signals::{Interrupts, Mask, SignalThread};

/// How long `-v` waits before it reports the wait; then the contender queues again. Arbitrary: a
/// person does not notice it, and most servers answer within it.
const NOTICE: Duration = Duration::from_millis(200);

/// Acquires the lock, and declares the local one consistent after the death of an owner. `None`
/// after a signal: the lock is not held. From here on the signals are blocked in this thread.
///
/// The failure of a timeout names the holder if it `explains`.
pub(super) fn acquire<'a>(
    lock: &'a FleetLock,
    waiting: &Waiting,
    explains: bool,
    mask: Mask,
    interrupts: &Interrupts,
) -> Result<Option<FleetGuard<'a>>, Failure> {
    let begin = Instant::now();
    let signals = SignalThread::start(interrupts, mask).map_err(|error| {
        Failure::new(SYSTEM, format!("cannot start a thread that waits for signals: {error}"))
    })?;
    let outcome = wait(lock, waiting, begin);
    signals.end();
    let guard = match outcome {
        Ok(Some(guard)) => guard,
        Ok(None) => return Err(busy(lock, waiting, explains, None)),
        Err(error) if error.is_cancelled() => return Ok(None),
        Err(error) if error.is_timed_out() => {
            return Err(busy(lock, waiting, explains, Some(&error)));
        }
        Err(error) => return Err(failure(error)),
    };
    let name = lock.name();
    if waiting.verbose {
        let (took, token) = (begin.elapsed().as_secs_f64(), guard.fencing_token());
        remark(&format!("getting fleet lock {name:?} took {took:.6} s; fencing token {token}"));
    }
    let local = guard.local();
    if let Some(recovered) = local.recovered() {
        if waiting.verbose {
            let dead = dead(recovered.dead.as_ref(), File::at(lock.local().path()));
            remark(&format!(
                "recovered lock {name:?} of this machine: its owner died holding it ({dead})"
            ));
        }
        local.declare_consistent()?;
    }
    Ok(Some(guard))
}

/// Waits for the lock. `None` if one try was all, and it was not free.
fn wait<'a>(
    lock: &'a FleetLock,
    waiting: &Waiting,
    begin: Instant,
) -> shmlock_fleet::Result<Option<FleetGuard<'a>>> {
    let timeout = waiting.timeout();
    if timeout == Some(Duration::ZERO) {
        return lock.try_lock();
    }
    let until = timeout.and_then(|timeout| begin.checked_add(timeout));
    if waiting.verbose {
        let notice = Instant::now() + NOTICE;
        let first = until.map_or(notice, |until| until.min(notice));
        match lock.try_lock_for(left(first)) {
            Err(error) if needs_longer(&error) && until != Some(first) => {
                let holder = holder_by(lock, &error);
                remark(&format!("waiting for fleet lock {:?}, {holder}", lock.name()));
            }
            outcome => return outcome.map(Some),
        }
    }
    match until {
        Some(until) => lock.try_lock_for(left(until)),
        None => lock.lock(),
    }
    .map(Some)
}

/// Returns the time until then; a moment if it is over. Zero would be one try, which waits for the
/// servers for as long as they may take.
fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1))
}

/// Returns `true` if a call with a longer limit may succeed. The members share a limit, so a slow
/// one is given up before the limit, with an error of its own.
fn needs_longer(error: &Error) -> bool {
    error.is_timed_out() || matches!(error, Error::Slow { .. })
}

/// Returns the failure for a lock that was not free in time; it has no words unless it `explains`.
fn busy(lock: &FleetLock, waiting: &Waiting, explains: bool, error: Option<&Error>) -> Failure {
    if !explains {
        return Failure::silent(waiting.conflict_exit_code);
    }
    let holder = match error {
        Some(error) => holder_by(lock, error),
        None => holder_of(lock),
    };
    let name = lock.name();
    let line = match waiting.timeout().filter(|timeout| *timeout > Duration::ZERO) {
        Some(timeout) => format!(
            "fleet lock {name:?} was not free within {}: {holder}; wait longer, or see what the \
             holder does",
            in_seconds(timeout)
        ),
        None => format!("fleet lock {name:?} is not free: {holder}; wait for it or try later"),
    };
    Failure::new(waiting.conflict_exit_code, line)
}

/// Names the holder by the error of a time limit; asks no server that was silent.
fn holder_by(lock: &FleetLock, error: &Error) -> String {
    match error {
        Error::TimedOut { holder: Some(holder), .. } => held_by_contender(holder),
        Error::TimedOut { cause: Some(cause), .. } => unreadable(cause),
        Error::Slow { .. } => unreadable(error),
        Error::Local(error) => on_this_machine(&held_by(error.holder(), file(lock))),
        _ => holder_of(lock),
    }
}

/// Names the holder: of this machine's lock, or else of the fleet's.
fn holder_of(lock: &FleetLock) -> String {
    if let Ok(Some(holder)) = lock.local().holder() {
        return on_this_machine(&held_by(Some(&holder), file(lock)));
    }
    match lock.holder() {
        Ok(Some(holder)) => held_by_contender(&holder),
        Ok(None) => held_by(None, None),
        Err(error) => unreadable(&error),
    }
}

fn unreadable(error: &Error) -> String {
    format!("its holder cannot be read: {}", explain(error))
}

fn file(lock: &FleetLock) -> Option<File> {
    File::at(lock.local().path())
}

fn on_this_machine(holder: &str) -> String {
    format!("on this machine {holder}")
}

/// Names a holder of the fleet.
fn held_by_contender(holder: &FleetHolder) -> String {
    let mut words = match (holder.host.as_str(), holder.pid) {
        ("", 0) => vec!["held by a process without an owner record".to_owned()],
        (host, pid) => vec![format!("held by pid {pid} on {}", host.escape_debug())],
    };
    if !holder.description.is_empty() {
        words.push(format!("\"{}\"", holder.description.escape_debug()));
    }
    words.push(format!("fencing token {}", holder.fencing_token));
    words.join(", ")
}
