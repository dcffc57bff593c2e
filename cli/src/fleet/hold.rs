//! Holds a fleet lock as `hold` does the local one.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::acquire::acquire;
use super::lock::{Opened, Target, open};
use super::run::release;
use crate::exit::{Ending, Failure, LOST, remark, without_signals};
use crate::signals::{Interrupts, Mask, Signals};

/// Acquires the lock and holds it while `keep` runs: with the fencing token, and a descriptor that
/// is readable once the lock is lost. `keep` then returns `None`.
pub(crate) fn hold(
    target: &Target<'_>,
    explains: bool,
    keep: impl Fn(&Signals, u64, BorrowedFd<'_>) -> Result<Option<Ending>, Failure>,
) -> Result<Ending, Failure> {
    let mask = Mask::present();
    let Opened { lock, alarm } = open(target, Duration::ZERO)?;
    let interrupts = Interrupts::catch();
    let acquired = acquire(&lock, target.waiting, explains, mask, &interrupts)?;
    let signals = Signals::receive(interrupts).map_err(|error| without_signals(&error))?;
    let Some(guard) = acquired else {
        return Ok(Interrupts::caught().map_or(Ending::Code(u8::MAX), Ending::Signal));
    };
    let ending = keep(&signals, guard.fencing_token(), alarm.as_fd())?;
    drop(signals); // from here on no signal ends this process before the lock is closed
    let Some(ending) = ending else {
        if let Some(loss) = guard.loss() {
            let name = target.name;
            remark(&format!("fleet lock {name:?} is lost: {loss}; another machine may get it"));
        }
        return Ok(Ending::Code(LOST));
    };
    let is_lost = release(&lock, guard, target.lease.drift());
    Ok(if is_lost { Ending::Code(LOST) } else { ending })
}
