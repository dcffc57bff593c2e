//! Tells the logger that a wait begins: for which holder, and since when that holds the lock.
//!
//! A logger is foreign code. So it is told before the handle is in transition: it may panic, or use
//! this very handle, and the handle is as if nothing had been asked of it.

use std::time::Instant;

use crate::error::Result;
use crate::lock::handle::ShmLock;
use crate::process::registry;
use crate::sys::clock::BootInstant;
use crate::tell::tell;
use crate::wait::deadline::Deadline;
use crate::wait::spin;

impl ShmLock {
    /// Says at `debug` that this call is going to sleep, if it is. The time that the logger takes
    /// does not count as waiting.
    ///
    /// A lock that is free again within the time for which a waiter spins is not waited for.
    ///
    /// # Errors
    /// [`Error::ForkedHandle`](crate::Error::ForkedHandle) if the logger forked, and this is the
    /// child.
    #[cold]
    pub(crate) fn tell_of_wait(&self, patience: Deadline) -> Result<()> {
        if log::max_level() < log::LevelFilter::Debug {
            return Ok(());
        }
        if !patience.beginning(Instant::now()).is_one_try() && self.is_going_to_sleep() {
            self.tell_holder();
            self.check_process()?;
        }
        Ok(())
    }

    /// Names the holder of the lock at `debug`.
    pub(crate) fn tell_holder(&self) {
        if let Some(holder) = self.holder_now() {
            tell!(Debug, "waits for {self}, held by {holder}");
        }
    }

    fn is_going_to_sleep(&self) -> bool {
        let region = self.shared.region();
        let begin = BootInstant::now();
        loop {
            let Some(owner) = region.word().owner() else { return false };
            if owner == self.token || registry::held_by_this_thread(owner, self.shared.identity()) {
                return false; // it is told what is wrong instead
            }
            if begin.elapsed() >= spin::LIMIT {
                break;
            }
            std::hint::spin_loop();
        }
        self.settings
            .exit_event
            .as_ref()
            .is_none_or(|event| event.is_set().is_ok_and(|is_set| !is_set))
    }
}
