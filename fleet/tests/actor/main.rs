//! Runs a contender for the tests: it follows the commands on its input, one answer a line.
//!
//! Arguments: name, directory, TTL in seconds, endpoints with commas between, address of the store.

mod store;
mod work;

use std::time::{Duration, SystemTime};

use shmlock_fleet::shmlock::ExitEvent;
use shmlock_fleet::{FleetGuard, FleetLock};

use store::Store;

/// Seconds.
const DAY: u64 = 86_400;

/// How long a request may take, if the lease lives so long and a quarter of the TTL is not longer:
/// a busy member answers within it.
const PATIENCE: Duration = Duration::from_secs(4);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, directory, ttl, endpoints, store] = &arguments[..] else {
        panic!("usage: NAME DIRECTORY TTL ENDPOINTS STORE");
    };
    let ttl = Duration::from_secs(ttl.parse().expect("seconds"));
    let lock = FleetLock::builder(name, endpoints.split(','))
        .directory(directory)
        .ttl(ttl)
        .request_timeout(PATIENCE.clamp(ttl / 4, ttl))
        .description("an actor")
        .exit_event(&ExitEvent::new()) // never set: a waiter that polled it would wake
        .withdrawal_time(Duration::from_secs(30)) // the machine may be busy
        .open()
        .expect("the lock opens");
    let mut store = Store::connect(store);
    let mut guard: Option<FleetGuard<'_>> = None;
    for line in std::io::stdin().lines() {
        let line = line.expect("commands are text");
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match words[..] {
            ["lock"] => locked(&mut guard, lock.lock()),
            ["for", millis] => {
                let limit = Duration::from_millis(millis.parse().expect("a number"));
                locked(&mut guard, lock.try_lock_for(limit))
            }
            ["try"] => match lock.try_lock() {
                Ok(None) => "busy".into(),
                Ok(Some(held)) => locked(&mut guard, Ok(held)),
                Err(error) => format!("error {error}"),
            },
            // Without a look at the deadline: only the store can refuse.
            ["write"] => {
                let token = guard.as_ref().expect("a guard").fencing_token();
                if store.add(token) { "accepted".into() } else { "refused".into() }
            }
            ["lost"] => guard.as_ref().expect("a guard").is_lost().to_string(),
            ["left"] => guard.as_ref().expect("a guard").time_left().as_millis().to_string(),
            ["day"] => {
                (SystemTime::UNIX_EPOCH.elapsed().expect("a time").as_secs() / DAY).to_string()
            }
            ["release"] => match guard.take().expect("a guard").release() {
                Ok(()) => "released".into(),
                Err(error) => format!("error {error}"),
            },
            ["count", rounds] => count(&lock, &mut store, rounds.parse().expect("a number")),
            ["work"] => work::work(&lock, &mut store),
            ["once"] => work::once(&lock, &mut store),
            _ => panic!("unknown command: {line}"),
        };
        println!("{answer}");
    }
}

fn locked<'a>(
    guard: &mut Option<FleetGuard<'a>>,
    outcome: shmlock_fleet::Result<FleetGuard<'a>>,
) -> String {
    match outcome {
        Ok(held) => {
            let token = held.fencing_token();
            *guard = Some(held);
            format!("locked {token}")
        }
        Err(error) => format!("error {error}"),
    }
}

/// Adds to the store's value so often, one acquisition each. Returns the number of accepted writes.
fn count(lock: &FleetLock, store: &mut Store, rounds: u32) -> String {
    let mut accepted = 0;
    for _ in 0..rounds {
        let guard = match lock.lock() {
            Ok(guard) => guard,
            Err(error) => return format!("error {error}"),
        };
        accepted += u32::from(store.add(guard.fencing_token()));
        if let Err(error) = guard.release() {
            return format!("error {error}");
        }
    }
    format!("done {accepted}")
}
