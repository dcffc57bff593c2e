//! Commands about locks and events.

use std::rc::Rc;
use std::time::{Duration, Instant};

use shmlock::{
    BlockSignals, Error, ExitEvent, Holder, LockStatus, Recovered, ShmLock, WaitStrategy,
};

use crate::parse::millis;
use crate::state::{Done, State, variant_of};

pub(crate) fn open(
    state: &mut State,
    id: &str,
    name: &str,
    options: &[&str],
) -> Result<Done, Error> {
    let mut builder = ShmLock::builder(name);
    for option in options {
        builder = match option.split_once('=').expect("KEY=VALUE") {
            ("poll", value) => builder.poll_interval(millis(value)),
            ("wait", "futex") => builder.wait_strategy(WaitStrategy::Futex),
            ("wait", "poll") => builder.wait_strategy(WaitStrategy::SleepPolling),
            ("block", "never") => builder.block_signals(BlockSignals::Never),
            ("block", "transitions") => builder.block_signals(BlockSignals::Transitions),
            ("block", "held") => builder.block_signals(BlockSignals::WhileHeld),
            ("event", id) => builder.exit_event(state.event(id)),
            ("dir", path) => builder.directory(path),
            ("patience", value) => builder.open_timeout(millis(value)),
            ("desc", text) => builder.description(text),
            other => panic!("not an option: {other:?}"),
        };
    }
    let lock = builder.open()?;
    let uuid = lock.uuid();
    state.locks.insert(id.to_owned(), Rc::new(lock));
    Ok(Done::said(&uuid))
}

pub(crate) fn clone(state: &mut State, id: &str, from: &str) -> Result<Done, Error> {
    let lock = state.lock(from).try_clone()?;
    state.locks.insert(id.to_owned(), Rc::new(lock));
    Ok(Done::well(()))
}

pub(crate) fn close(state: &mut State, id: &str) -> Done {
    drop(state.locks.remove(id).expect("a lock of this id"));
    Done::well(())
}

/// Forgets the handle without closing it.
pub(crate) fn leak(state: &mut State, id: &str) -> Done {
    std::mem::forget(state.locks.remove(id).expect("a lock of this id"));
    Done::well(())
}

pub(crate) fn event(state: &mut State, id: &str, name: &str) -> Result<Done, Error> {
    state.events.insert(id.to_owned(), ExitEvent::named(name)?);
    Ok(Done::well(()))
}

/// Formats pid, uuid and description; `nobody` stands for no owner.
pub(crate) fn holder(holder: Option<&Holder>, nobody: &str) -> String {
    let Some(holder) = holder else { return nobody.to_owned() };
    match (holder.pid(), holder.uuid()) {
        (Some(pid), Some(uuid)) => format!("{pid} {uuid} {}", holder.description()),
        _ => format!("token {}", holder.token()),
    }
}

pub(crate) fn recovered(recovered: Option<&Recovered>) -> String {
    match recovered {
        None => "no".to_owned(),
        Some(Recovered { dead, .. }) => holder(dead.as_ref(), "somebody"),
    }
}

pub(crate) fn status(status: LockStatus) -> String {
    let LockStatus { state, waiters, owner_died, recoveries, orphaned, .. } = status;
    format!(
        "{state:?} waiters={waiters} owner_died={owner_died} recoveries={recoveries} \
         orphaned={orphaned} healthy={}",
        status.is_healthy()
    )
}

/// Makes every call that can fail, and formats the outcome of each. The lock ends as it was if all
/// of them fail.
pub(crate) fn every(lock: &ShmLock) -> String {
    let outcome = |result: Result<(), Error>| {
        result.map_or_else(|error| variant_of(&error), |()| "ok".to_owned())
    };
    let now = Instant::now();
    let mut answers = Vec::new();
    let mut note = |call: &str, result| answers.push(format!("{call}={}", outcome(result)));
    note("lock", lock.lock().map(drop));
    note("try_lock", lock.try_lock().map(drop));
    note("try_lock_for", lock.try_lock_for(Duration::ZERO).map(drop));
    note("try_lock_until", lock.try_lock_until(now).map(drop));
    note("acquire", lock.acquire());
    note("try_acquire", lock.try_acquire().map(drop));
    note("try_acquire_for", lock.try_acquire_for(Duration::MAX));
    note("try_acquire_until", lock.try_acquire_until(now));
    note("release", lock.release());
    note("force_release", lock.force_release().map(drop));
    note("is_locked", lock.is_locked().map(drop));
    note("holder", lock.holder().map(drop));
    note("check", lock.status().map(drop));
    note("declare_consistent", lock.declare_consistent());
    note("set_description", lock.set_description("x"));
    note("try_clone", lock.try_clone().map(drop));
    answers.join(" ")
}
