//! Moves the owner word and the count of holds together, whatever the foreign code in between does.

use super::RegionLock;
use super::hold_count::Hold;
use crate::contend::{self, AssumeAlive, Liveness};
use crate::error::Error;
use crate::fence::{Fence, FullSystem};
use crate::protocol::{self, Acquisition, Attempt, Wake};
use crate::record::Record;
use crate::wait::{self, Spin, Wait};
use crate::word::Word;

impl<'a, F: Fence> RegionLock<'a, F> {
    /// Takes the lock, or counts one hold more of it.
    #[inline]
    pub(super) fn enter(
        &self,
        hold: Hold,
        wait: &mut impl Wait,
        liveness: &mut impl Liveness,
    ) -> Result<(), Error> {
        self.enter_or(hold, |change, _| self.contend(change, hold, wait, liveness))
    }

    /// Takes the lock, or counts one hold more of it, without waiting.
    #[inline]
    pub(super) fn try_enter(&self, hold: Hold) -> Result<(), Error> {
        self.enter_or(hold, |change, seen| {
            if seen.is_owned_by(self.me) {
                return self.contend(change, hold, &mut Spin::attempts(0), &mut AssumeAlive);
            }
            self.owes_wake.set(false);
            change.end(None);
            Err(Error::Busy { seen })
        })
    }

    /// `otherwise` goes on when the lock is not free, with the word seen.
    #[inline]
    fn enter_or<'l>(
        &'l self,
        hold: Hold,
        otherwise: impl FnOnce(Change<'l, 'a, F>, Word) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if !self.holds.is_none() {
            return self.nest(hold);
        }
        let change = Change::begin(self);
        match protocol::try_acquire(self.region.owner_word(), self.me, Attempt::First, self.fence) {
            Ok(acquisition) => {
                self.begin(acquisition);
                change.end(Some(hold));
                Ok(())
            }
            Err(seen) => otherwise(change, seen),
        }
    }

    /// Counts one hold more, if the word names this handle. The count alone is no proof: somebody
    /// may have written to the region, or a forked child may have released the lock under the same
    /// token.
    #[cold]
    fn nest(&self, hold: Hold) -> Result<(), Error> {
        let found = self.word();
        if !found.is_owned_by(self.me) && !self.holds.is_in_change() {
            return Err(Error::Overwritten { found });
        }
        self.holds.nest(hold)
    }

    #[cold]
    fn contend(
        &self,
        change: Change<'_, '_, F>,
        hold: Hold,
        wait: &mut impl Wait,
        liveness: &mut impl Liveness,
    ) -> Result<(), Error> {
        let word = self.region.owner_word();
        match contend::acquire_contended(word, self.me, self.fence, liveness, wait) {
            Ok(acquisition) => {
                self.region.count_contended();
                self.begin(acquisition);
                change.end(Some(hold));
                Ok(())
            }
            Err(seen) => {
                // The wake that we used up may have been meant for others.
                self.wake(if seen.is_free() { Wake::One } else { Wake::Nobody });
                change.end(None);
                Err(Error::Busy { seen })
            }
        }
    }

    fn begin(&self, acquisition: Acquisition) {
        self.owner_died.set(acquisition.owner_died);
        self.region.count_acquisition(self.fence);
        if acquisition.recovered_from.is_some() {
            self.region.count_recovery();
        }
        self.describe();
    }

    /// Only while the lock is held.
    pub(super) fn describe(&self) {
        let described = self.region.record_describes(self.me);
        match &self.record {
            Some(_) if described && self.recorded.get() => {}
            Some(record) => self.region.write_record(self.me, record, self.fence),
            // Left by a former life of this token, or by this handle while it had a record.
            None if described && !self.recorded.get() => {
                self.region.write_record(self.me, &Record::default(), self.fence);
            }
            None => {}
        }
        self.recorded.set(true);
    }

    /// Ends one hold.
    #[inline]
    pub(super) fn leave(&self, hold: Hold) -> Result<(), Error> {
        if !self.holds.is_just(hold) {
            return self.un_nest(hold);
        }
        let change = Change::begin(self);
        let released = protocol::release(self.region.owner_word(), self.me, self.fence);
        change.end(None);
        match released {
            Ok(wake) => {
                self.wake(wake);
                Ok(())
            }
            Err(found) => {
                self.owes_wake.set(false);
                Err(Error::Overwritten { found })
            }
        }
    }

    #[cold]
    fn un_nest(&self, hold: Hold) -> Result<(), Error> {
        self.holds.un_nest(hold)
    }

    fn wake(&self, wake: Wake) {
        self.owes_wake.set(wake == Wake::One);
        if wake == Wake::One {
            wait::send_event();
        }
    }
}

/// A handle in change, until [`end`](Self::end). Dropped without it, foreign code has unwound out
/// of the call.
struct Change<'l, 'a, F: Fence>(&'l RegionLock<'a, F>);

impl<'l, 'a, F: Fence> Change<'l, 'a, F> {
    #[inline]
    fn begin(lock: &'l RegionLock<'a, F>) -> Self {
        lock.holds.begin_change();
        Self(lock)
    }

    #[inline]
    fn end(self, hold: Option<Hold>) {
        self.0.holds.end_change(hold);
        core::mem::forget(self);
    }
}

impl<F: Fence> Drop for Change<'_, '_, F> {
    /// Leaves behind what a call leaves that has not taken the lock: if the word is ours, its
    /// section has not begun or has ended.
    #[cold]
    fn drop(&mut self) {
        let lock = self.0;
        let word = lock.region.owner_word();
        // Not by the handle's own fence, which may be what panicked. The strongest one stands in
        // for any.
        let wake = match protocol::release(word, lock.me, FullSystem) {
            Ok(wake) => wake,
            // It may have marked the word, and used up a wake that was meant for others.
            Err(seen) if contend::cancel_wait(word, seen, Attempt::AfterWaiting).is_free() => {
                Wake::One
            }
            Err(_) => Wake::Nobody,
        };
        lock.wake(wake);
        lock.holds.end_change(None);
    }
}
