//! Logs that a wait begins, and names the holder.
//!
//! A logger is foreign code: it may panic, or use this very handle. So it is called before the
//! transition, and the handle is as if nothing had been asked of it.

use std::time::Instant;

use crate::error::Result;
use crate::lock::handle::ShmLock;
use crate::process::registry;
use crate::sys::clock::BootInstant;
use crate::tell::tell;
use crate::wait::deadline::Deadline;
use crate::wait::tuning::SPIN_LIMIT;

impl ShmLock {
    /// Logs at `debug` the holder of the lock, if the call is about to sleep. The time that the
    /// logger takes does not count as waiting.
    ///
    /// # Errors
    /// [`Error::ForkedHandle`](crate::Error::ForkedHandle) if the logger forked, and this is the
    /// child.
    #[cold]
    pub(crate) fn tell_of_wait(&self, deadline: Deadline) -> Result<()> {
        if log::max_level() < log::LevelFilter::Debug {
            return Ok(());
        }
        if !deadline.beginning(Instant::now()).is_one_try() && self.spin_and_see_held() {
            self.tell_holder();
            self.check_process()?;
        }
        Ok(())
    }

    /// Logs the holder of the lock at `debug`.
    pub(crate) fn tell_holder(&self) {
        if let Some(holder) = self.holder_now() {
            tell!(Debug, "waits for {self}, held by {holder}");
        }
    }

    /// Spins for as long as a waiter does. Returns `true` if the lock is still held then, and the
    /// wait is not refused.
    fn spin_and_see_held(&self) -> bool {
        let region = self.shared.region();
        let begin = BootInstant::now();
        loop {
            let Some(owner) = region.word().owner() else { return false };
            if owner == self.token || registry::held_by_this_thread(owner, self.shared.identity()) {
                return false; // the caller gets an error instead
            }
            if begin.elapsed() >= SPIN_LIMIT {
                break;
            }
            std::hint::spin_loop();
        }
        let event = self.settings.exit_event.as_ref();
        event.is_none_or(|event| event.is_set().is_ok_and(|is_set| !is_set))
    }
}
