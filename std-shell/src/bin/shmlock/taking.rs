//! Taking a lock as the arguments say, with words about it.

use std::time::Instant;

use shmlock::{Guard, ShmLock};

use crate::args::Waiting;
use crate::exit::{Failure, remark};

/// Takes the lock; a dead owner is named, if asked for, and the lock declared consistent.
///
/// A section of the shell has no data of its own that could be torn; and who held the lock before need not have been one
/// of the shell. So whoever protects data with this lock should not take it by this program alone after a crash.
pub(crate) fn take<'a>(lock: &'a ShmLock, waiting: &Waiting) -> Result<Guard<'a>, Failure> {
    let begin = Instant::now();
    let guard = match lock.try_lock()? {
        Some(guard) => guard,
        None => wait(lock, waiting)?,
    };
    if waiting.verbose {
        remark(&format!("getting lock {:?} took {:.6} s", lock.name(), begin.elapsed().as_secs_f64()));
    }
    if let Some(recovered) = guard.recovered() {
        if waiting.verbose {
            let dead = recovered.dead.map_or("its name is lost".to_owned(), |dead| dead.to_string());
            remark(&format!("an owner of lock {:?} died holding it ({dead}); it is taken over", lock.name()));
        }
        guard.declare_consistent()?;
    }
    Ok(guard)
}

fn wait<'a>(lock: &'a ShmLock, waiting: &Waiting) -> Result<Guard<'a>, Failure> {
    if waiting.verbose && !waiting.nonblock {
        let holder =
            lock.holder()?.map_or("somebody who is just giving it back".to_owned(), |holder| holder.to_string());
        remark(&format!("waiting for lock {:?}, held by {holder}", lock.name()));
    }
    let taken = match waiting.patience {
        _ if waiting.nonblock => lock.try_lock_for(std::time::Duration::ZERO),
        Some(patience) => lock.try_lock_for(patience),
        None => lock.lock(),
    };
    taken.map_err(|error| match error {
        error if error.is_timed_out() && waiting.quiet => Failure::silent(waiting.conflict_exit_code),
        error if error.is_timed_out() => Failure::new(waiting.conflict_exit_code, error.to_string()),
        error => error.into(),
    })
}
