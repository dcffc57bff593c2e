//! Commands that acquire the lock repeatedly.

use std::process;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use shmlock::{Error, ShmLock};
use shmlock_tests::{Account, ROUNDS_TIME, proc};

use crate::locks;
use crate::parse::millis;
use crate::state::{Done, State};

/// Executes critical sections of the account, each under the lock `id`; `-` is none.
pub(crate) fn count(
    state: &State,
    id: &str,
    account: &str,
    rounds: u64,
    actors: u64,
    limit: Option<&str>,
) -> Result<Done, Error> {
    let account = Account::open(account);
    let me = u64::from(process::id());
    if id == "-" {
        account.meet(actors);
        (0..rounds).for_each(|round| account.section(me, round, false));
        return Ok(Done::said(&0));
    }
    let lock = state.lock(id);
    let mut failures = 0;
    account.meet(actors);
    for round in 0..rounds {
        let taken = match limit {
            Some(limit) => lock.try_acquire_for(millis(limit)),
            None => lock.acquire(),
        };
        match taken {
            Ok(()) => {}
            Err(error) if error.is_timed_out() => {
                failures += 1;
                continue;
            }
            Err(error) => return Err(error),
        }
        account.section(me, round, false);
        lock.release()?;
    }
    Ok(Done::said(&failures))
}

/// Executes one critical section; with `consistent`, declares the data consistent after a death.
pub(crate) fn pass(
    state: &State,
    id: &str,
    account: &str,
    consistent: bool,
) -> Result<Done, Error> {
    let account = Account::open(account);
    let lock = state.lock(id);
    let before = proc::voluntary_sleeps(process::id());
    lock.acquire()?;
    let total = proc::voluntary_sleeps(process::id());
    let told = locks::recovered(lock.recovered().as_ref());
    account.section(u64::from(process::id()), 1, told != "no");
    account.rounds.fetch_add(1, Relaxed);
    if consistent && told != "no" {
        lock.declare_consistent()?;
    }
    lock.release()?;
    Ok(Done::Answer(format!("{} {total} {told}", total - before)))
}

/// Opens, locks and closes in each round, so that the file is created and removed again and again.
/// Answers the number of rounds: fewer if the time is over before.
///
/// With `tide`, all processes meet before each round: then all open at once, and close while no
/// other process opens. All of them make the same number of rounds.
pub(crate) fn churn(
    name: &str,
    account: &str,
    rounds: u64,
    actors: u64,
    tide: bool,
) -> Result<Done, Error> {
    let account = Account::open(account);
    let me = u64::from(process::id());
    let (begin, mut round) = (Instant::now(), 0);
    if !tide {
        account.meet(actors);
    }
    while if rounds == 0 { account.stop.load(Relaxed) == 0 } else { round < rounds } {
        let is_over = begin.elapsed() >= ROUNDS_TIME;
        if rounds != 0 && if tide { account.ends_tide(round, is_over) } else { is_over } {
            break;
        }
        round += 1;
        account.rounds.fetch_add(1, Relaxed);
        if tide {
            account.meet(actors * round);
        }
        let lock = ShmLock::open(name)?;
        let guard = lock.lock()?;
        let after_death = guard.recovered().is_some();
        if guard.fencing_token() == Some(1) {
            account.births.fetch_add(1, Relaxed);
        }
        account.section(me, round, after_death);
        assert!(!lock.status()?.orphaned, "the file of a lock in use was removed");
        if after_death {
            guard.declare_consistent()?;
        }
        guard.release()?;
    }
    Ok(Done::said(&round))
}
