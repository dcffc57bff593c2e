//! Taking a lock as the arguments say, with words about it.

use std::time::{Duration, Instant};

use shmlock::{Builder, Error, Guard, ShmLock};

use crate::args::Waiting;
use crate::display::seconds_of;
use crate::exit::{Ending, Failure, remark};
use crate::owner::{dead, held_by};
use crate::process::File;
use crate::signals::Interrupts;

/// How taking the lock went.
pub(crate) enum Taken<'a> {
    /// This process holds it.
    Held(Guard<'a>),
    /// A signal ended the wait, or came at the very moment of taking. The lock is not held.
    Interrupted(Ending),
}

/// Opens the lock so that [`take`] can be interrupted.
pub(crate) fn open(builder: Builder) -> Result<ShmLock, Failure> {
    Ok(builder.exit_event(Interrupts::event()).open()?)
}

/// Takes the lock, with [`Interrupts`] in place; a dead owner is named, if asked for, and the lock
/// declared consistent.
///
/// A critical section of a script has no data of its own that could be torn; and the dead owner
/// need not have been a script. So a program that protects data by this lock should not share it
/// with this program. A refusal names the holder of the lock if it `explains`.
pub(crate) fn take<'a>(
    lock: &'a ShmLock,
    waiting: &Waiting,
    explains: bool,
) -> Result<Taken<'a>, Failure> {
    let begin = Instant::now();
    let file = || File::at(lock.path());
    let guard = match lock.try_lock()? {
        Some(guard) => guard,
        None => match wait(lock, waiting, file) {
            Ok(guard) => guard,
            Err(error) if error.is_cancelled() => return Ok(Taken::Interrupted(interruption())),
            Err(error) if error.is_timed_out() => {
                return Err(refusal(lock, waiting, explains, &error));
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
                "an owner of lock {:?} died holding it ({dead}); it is taken over",
                lock.name()
            ));
        }
        guard.declare_consistent()?;
    }
    if Interrupts::caught().is_some() {
        guard.release()?;
        return Ok(Taken::Interrupted(interruption()));
    }
    Ok(Taken::Held(guard))
}

/// How the program ends after a signal that came before it held the lock.
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
    match waiting.patience() {
        Some(patience) => lock.try_lock_for(patience),
        None => lock.lock(),
    }
}

/// The failure to take a lock that was not free in time; explained, if asked for.
fn refusal(lock: &ShmLock, waiting: &Waiting, explains: bool, error: &Error) -> Failure {
    if !explains {
        return Failure::silent(waiting.conflict_exit_code);
    }
    let (name, holder) = (lock.name(), held_by(error.holder(), File::at(lock.path())));
    let line = match waiting.patience().filter(|patience| *patience > Duration::ZERO) {
        Some(patience) => format!(
            "lock {name:?} was not free within {}: {holder}; wait longer or see what the holder does",
            seconds_of(patience)
        ),
        None => format!("lock {name:?} is not free: {holder}; wait for it or try later"),
    };
    Failure::new(waiting.conflict_exit_code, line)
}
