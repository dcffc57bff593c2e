//! Works for the torture: acquires, counts in the store and releases by the store's plan.

use std::thread::sleep;
use std::time::{Duration, Instant};

use shmlock_fleet::{Error, FleetGuard, FleetLock};

use crate::store::Store;

/// Works until the plan says that it is over.
pub(crate) fn work(lock: &FleetLock, store: &mut Store) -> String {
    loop {
        let plan = store.ask("plan");
        let words: Vec<&str> = plan.split(' ').collect();
        let millis = |word: &str| Duration::from_millis(word.parse().expect("a number"));
        let (outcome, section) = match words[..] {
            ["lock", section] => (lock.lock().map(Some), section),
            ["for", limit, section] => (lock.try_lock_for(millis(limit)).map(Some), section),
            ["try", section] => (lock.try_lock(), section),
            _ => return plan,
        };
        match outcome {
            Ok(Some(guard)) => hold(guard, store, millis(section)),
            Ok(None) => store.note("a try at a lock that is held"),
            Err(error) => {
                store.note(&format!("an error instead of a hold: {}", kind(&error)));
                sleep(Duration::from_millis(50)); // not in a circle while there is no server
            }
        }
    }
}

/// Adds one to the store's number. A call that a busy member has not answered in time is repeated:
/// the torture bounds the time of all calls together.
pub(crate) fn once(lock: &FleetLock, store: &mut Store) -> String {
    let guard = loop {
        match lock.lock() {
            Ok(guard) => break guard,
            Err(error) if is_without_answer(&error) => {
                store.note("an error at the end: no answer in time");
                sleep(Duration::from_millis(50)); // as in `work`
            }
            Err(error) => return format!("error {error}"),
        }
    };
    if !store.add(guard.fencing_token()) {
        return "refused".to_owned();
    }
    match guard.release() {
        Err(error) if !is_without_answer(&error) => format!("error {error}"),
        _ => "done".to_owned(), // the key goes with its lease
    }
}

/// Returns `true` if members are there, and none has answered in time.
fn is_without_answer(error: &Error) -> bool {
    matches!(error, Error::Slow { .. } | Error::Lagging { .. })
}

/// Adds one to the store's number, slowly, without a look at the deadline.
fn hold(guard: FleetGuard<'_>, store: &mut Store, section: Duration) {
    let begin = Instant::now();
    let token = guard.fencing_token();
    let pid = std::process::id();
    let enter = format!("enter {token} {pid}");
    let is_accepted = store.ask(&enter) == "accepted" && {
        sleep(section / 2);
        let value = store.ask(&format!("read {token}"));
        sleep(section / 2);
        value
            .parse::<u64>()
            .is_ok_and(|value| store.ask(&format!("write {token} {}", value + 1)) == "accepted")
    };
    // Looked at after the refusal: the own deadline has passed before another holder came.
    if !is_accepted && !guard.is_lost() {
        store.ask(&format!("early {token} {}", begin.elapsed().as_millis()));
    }
    store.ask(&format!("leave {pid}"));
    let is_lost = guard.loss();
    store.note(match (guard.release(), is_lost) {
        (Ok(()), _) => "a release",
        (Err(_), Some(_)) => "a loss before the release",
        (Err(error), None) if error.is_lost() => "a loss found by the release",
        (Err(_), None) => "a release without an answer",
    });
}

/// Returns the name of an error's variant.
fn kind(error: &Error) -> String {
    let text = format!("{error:?}");
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}
