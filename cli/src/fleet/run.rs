//! Runs a command under a fleet lock, and ends it if the lock is lost.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use shmlock_fleet::{Error, FleetGuard, FleetLock};

use super::acquire::acquire;
use super::failure::explain;
use super::lock::{Opened, Target, open};
use super::options::Grace;
use super::tree::Tree;
use crate::child::{Plan, Running};
use crate::display::{escaped, in_seconds};
use crate::exec::{Image, cannot_execute};
use crate::exit::{Ending, Failure, LOST, SYSTEM, remark, without_signals};
use crate::signals::{Interrupts, Mask, Signals};

/// The variable in which the command finds the fencing token.
const TOKEN: &str = "SHMLOCK_FENCING_TOKEN";
/// The variable in which it finds the lock's name.
const NAME: &str = "SHMLOCK_LOCK_NAME";

/// A command, with all that its run needs.
pub(crate) struct Job<'a> {
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<&'a OsStr>,
    pub(crate) grace: &'a Grace,
}

/// Acquires the lock, runs the command and releases the lock.
///
/// The own deadline of the lease leaves the time of the grace and the drift of the clocks: a
/// command that TERM does not end is killed before another machine can have the lock.
pub(crate) fn run(target: &Target<'_>, job: &Job<'_>) -> Result<Ending, Failure> {
    let mask = Mask::present();
    let failed = |error: std::io::Error| {
        Failure::new(SYSTEM, format!("cannot wait for the command: {error}; it may still run"))
    };
    let grace = job.grace.of(target.lease)?;
    let Opened { lock, alarm } = open(target, grace)?;
    let interrupts = Interrupts::catch();
    let acquired = acquire(&lock, target.waiting, target.waiting.verbose, mask, &interrupts)?;
    let signals = Signals::receive(interrupts).map_err(|error| without_signals(&error))?;
    // The time from the own deadline to the end of the lease.
    let after = grace + target.lease.drift();
    let Some(guard) = acquired else {
        return Ok(Interrupts::caught().map_or(Ending::Code(u8::MAX), Ending::Signal));
    };
    if let Some(signal) = Interrupts::caught() {
        release(&lock, guard, after);
        return Ok(Ending::Signal(signal)); // it came before the command was started
    }
    if target.waiting.verbose {
        remark(&format!("executing {}", escaped(&job.program.to_string_lossy())));
    }
    let added = [(TOKEN, guard.fencing_token().to_string()), (NAME, target.name.to_owned())];
    let cannot = |error| cannot_execute(&job.program, &error);
    let image = Image::new(&job.program, job.arguments.iter().copied(), &added).map_err(cannot)?;
    let lifeline = guard.local().lock().lifeline();
    let plan = Plan { image, mask, lifeline, dies_with_us: true };
    let mut running = Running::start(&plan, &signals).map_err(cannot)?;
    let ended = supervise(&mut running, &signals, &alarm, &guard, grace).map_err(failed)?;
    drop((running, signals)); // from here on no signal ends this process before the release
    let Ended::ByItself(ending) = ended else {
        drop(guard);
        return Ok(Ending::Code(LOST));
    };
    let is_lost = release(&lock, guard, after);
    Ok(if is_lost { Ending::Code(LOST) } else { ending })
}

/// The end of a command.
enum Ended {
    ByItself(Ending),
    /// The lock was lost.
    ByUs,
}

/// Waits until the command ends; ends it if the lock is lost.
fn supervise(
    running: &mut Running,
    signals: &Signals,
    alarm: &OwnedFd,
    guard: &FleetGuard<'_>,
    grace: Duration,
) -> std::io::Result<Ended> {
    loop {
        if let Some(ending) = running.step(signals, Some(alarm.as_fd()), None)? {
            return Ok(Ended::ByItself(ending));
        }
        if let Some(loss) = guard.loss() {
            let grace = grace.saturating_sub(guard.overdue());
            let rounded = Duration::new(grace.as_secs(), grace.subsec_millis() * 1_000_000);
            remark(&format!(
                "fleet lock {:?} is lost: {loss}; another machine may get it; ending the command \
                 by TERM, and by KILL after {}",
                guard.local().lock().name(),
                in_seconds(rounded)
            ));
            end(running, signals, grace)?;
            return Ok(Ended::ByUs);
        }
    }
}

/// Ends the command and the processes that it has started: by TERM, and by KILL after the grace.
fn end(running: &mut Running, signals: &Signals, grace: Duration) -> std::io::Result<()> {
    let begin = Instant::now();
    let tree = Tree::gather(running.pid(), running.witness());
    let mut has_ended = false;
    tree.signal(Signal::TERM, has_ended);
    tree.signal(Signal::CONT, has_ended); // a stopped process would not see TERM
    loop {
        let left = grace.saturating_sub(begin.elapsed());
        let remaining =
            if left.is_zero() { tree.signal(Signal::KILL, has_ended) } else { tree.count() };
        if has_ended && remaining == 0 {
            return Ok(());
        }
        // Every end is that of a child in the end: orphans become children.
        let limit = (!left.is_zero()).then_some(left);
        has_ended |= match running.step(signals, None, limit) {
            Err(error) if has_ended && error.raw_os_error() == Some(libc::ECHILD) => return Ok(()),
            ended => ended?.is_some(),
        };
    }
}

/// Releases the lock, whose lease lives for `after` past its own deadline. Returns `true` if it had
/// been lost; says so, and what else went wrong.
pub(super) fn release(lock: &FleetLock, guard: FleetGuard<'_>, after: Duration) -> bool {
    let name = lock.name();
    let left = guard.time_left() + after;
    match guard.release() {
        Ok(()) => false,
        Err(Error::Lost { loss, .. }) => {
            remark(&format!(
                "fleet lock {name:?} was lost before its release: {loss}; another machine may have \
                 held it meanwhile"
            ));
            true
        }
        Err(error) => {
            remark(&format!(
                "cannot release fleet lock {name:?}: {}; its lease ends by itself within {} s",
                explain(&error),
                left.as_secs() + 1
            ));
            false
        }
    }
}
