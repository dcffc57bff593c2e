//! Measures holds, for [`Builder::measure_holds`](crate::Builder::measure_holds).

use std::time::Instant;

use crate::lock::handle::ShmLock;

impl ShmLock {
    /// Notes when the hold begins, if it is to be measured. Only a new owner calls it.
    pub(crate) fn start_hold_time(&self) {
        if self.settings.measure_holds {
            self.held_since.set(Some(Instant::now()));
        }
    }

    /// Notes how long the hold was, if it was measured. Only the owner calls it, before it
    /// releases.
    pub(crate) fn stop_hold_time(&self) {
        if let Some(since) = self.held_since.take() {
            self.shared.header().note_hold(since.elapsed());
        }
    }
}
