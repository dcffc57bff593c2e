//! Acquires a lock as the arguments say, and reports the wait and a dead owner.

use std::time::{Duration, Instant};

use shmlock::{Builder, Error, Guard, ShmLock};

use crate::args::Waiting;
use crate::display::in_seconds;
use crate::exit::{Ending, Failure, remark};
use crate::owner::{dead, held_by};
use crate::process::File;
use crate::signals::Interrupts;

/// The outcome of an acquisition that did not fail.
pub(crate) enum Acquired<'a> {
    /// This process holds the lock.
    Held(Guard<'a>),
    /// A signal came before this process held the lock, or at that moment. The lock is not held.
    Interrupted(Ending),
}

/// Opens the lock so that a signal ends the wait in [`acquire`].
pub(crate) fn open(builder: Builder) -> Result<ShmLock, Failure> {
    Ok(builder.exit_event(Interrupts::event()).open()?)
}

/// Acquires the lock, with [`Interrupts`] in place, and declares it consistent after the death of
/// an owner.
///
/// A script has no data that the lock knows of, but the dead owner may have been another program.
/// A program that protects data by a lock should not share it with `run` and `hold`. The failure of
/// a timeout names the holder if it `explains`.
pub(crate) fn acquire<'a>(
    lock: &'a ShmLock,
    waiting: &Waiting,
    explains: bool,
) -> Result<Acquired<'a>, Failure> {
    let begin = Instant::now();
    let file = || File::at(lock.path());
    let guard = match lock.try_lock()? {
        Some(guard) => guard,
        None => match wait(lock, waiting, file) {
            Ok(guard) => guard,
            Err(error) if error.is_cancelled() => return Ok(Acquired::Interrupted(interruption())),
            Err(error) if error.is_timed_out() => {
                return Err(timeout(lock, waiting, explains, &error));
            }
            Err(error) => return Err(error.into()),
        },
    };
    if waiting.verbose {
        remark(&format!(
            "getting lock {:?} took {:.6} s",
            lock.name(),
            begin.elapsed().as_secs_f64()
        ));
    }
    if let Some(recovered) = guard.recovered() {
        if waiting.verbose {
            let dead = dead(recovered.dead.as_ref(), file());
            remark(&format!(
                "recovered lock {:?}: its owner died holding it ({dead})",
                lock.name()
            ));
        }
        guard.declare_consistent()?;
    }
    if Interrupts::caught().is_some() {
        guard.release()?;
        return Ok(Acquired::Interrupted(interruption()));
    }
    Ok(Acquired::Held(guard))
}

/// Returns how the program ends after a signal that came before it held the lock.
fn interruption() -> Ending {
    Interrupts::caught().map_or(Ending::Code(u8::MAX), Ending::Signal)
}

fn wait<'a>(
    lock: &'a ShmLock,
    waiting: &Waiting,
    file: impl Fn() -> Option<File>,
) -> shmlock::Result<Guard<'a>> {
    if waiting.verbose && !waiting.nonblock {
        remark(&format!(
            "waiting for lock {:?}, {}",
            lock.name(),
            held_by(lock.holder()?.as_ref(), file())
        ));
    }
    match waiting.timeout() {
        Some(timeout) => lock.try_lock_for(timeout),
        None => lock.lock(),
    }
}

/// Returns the failure for a lock that was not free in time; it has no words unless it `explains`.
fn timeout(lock: &ShmLock, waiting: &Waiting, explains: bool, error: &Error) -> Failure {
    if !explains {
        return Failure::silent(waiting.conflict_exit_code);
    }
    let (name, holder) = (lock.name(), held_by(error.holder(), File::at(lock.path())));
    let line = match waiting.timeout().filter(|timeout| *timeout > Duration::ZERO) {
        Some(timeout) => format!(
            "lock {name:?} was not free within {}: {holder}; wait longer, or see what the holder \
             does",
            in_seconds(timeout)
        ),
        None => format!("lock {name:?} is not free: {holder}; wait for it or try later"),
    };
    Failure::new(waiting.conflict_exit_code, line)
}
