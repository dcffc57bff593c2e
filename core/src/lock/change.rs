//! Moves the owner word and the count of holds together, whatever foreign code does in between.

use super::RegionLock;
use super::hold_count::HoldKind;
use crate::contend::{self, AssumeAlive, Liveness};
use crate::error::Error;
use crate::fence::{Fence, FullSystem};
use crate::protocol::{self, Acquisition, Attempt, Wake};
use crate::record::Record;
use crate::wait::{self, Spin, Wait};
use crate::word::Word;

impl<'a, F: Fence> RegionLock<'a, F> {
    /// Acquires the lock, or counts one more hold of it.
    #[inline]
    pub(super) fn enter(
        &self,
        kind: HoldKind,
        wait: &mut (impl Wait + ?Sized),
        liveness: &mut impl Liveness,
    ) -> Result<(), Error> {
        self.enter_or(kind, (), |change, _| self.contend(change, kind, wait, liveness))
    }

    /// Acquires the lock, or counts one more hold of it, without waiting. Returns `true` if so.
    #[inline]
    pub(super) fn try_enter(&self, kind: HoldKind) -> Result<bool, Error> {
        self.enter_or(kind, true, |change, seen| {
            if seen.is_owned_by(self.me) {
                return self.recover_from_former_self(change, kind);
            }
            self.owes_wake.set(false);
            change.end(None);
            Ok(false)
        })
    }

    /// Acquires the lock if it is free, or counts one more hold of it, and returns `entered`. If
    /// another holds the lock, `otherwise` goes on with the change that has begun, and the word
    /// seen.
    #[inline]
    fn enter_or<'l, T>(
        &'l self,
        kind: HoldKind,
        entered: T,
        otherwise: impl FnOnce(Change<'l, 'a, F>, Word) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if !self.holds.is_none() {
            return self.nest(kind).map(|()| entered);
        }
        let change = Change::begin(self);
        match protocol::try_acquire(self.region.owner_word(), self.me, Attempt::First, self.fence) {
            Ok(acquisition) => {
                self.note_acquisition(acquisition);
                change.end(Some(kind));
                Ok(entered)
            }
            Err(seen) => otherwise(change, seen),
        }
    }

    /// Counts one more hold, if the word names this handle. The count alone is no proof: the region
    /// may have been written to, or a forked child may have released the lock under the same token.
    #[cold]
    fn nest(&self, kind: HoldKind) -> Result<(), Error> {
        let found = self.word();
        if !found.is_owned_by(self.me) && !self.holds.is_in_change() {
            return Err(Error::Overwritten { found });
        }
        self.holds.nest(kind)
    }

    /// Takes over a word that names this token although the handle holds nothing.
    #[cold]
    fn recover_from_former_self(
        &self,
        change: Change<'_, 'a, F>,
        kind: HoldKind,
    ) -> Result<bool, Error> {
        match self.contend(change, kind, &mut Spin::attempts(0), &mut AssumeAlive) {
            Ok(()) => Ok(true),
            Err(Error::Busy { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    #[cold]
    fn contend(
        &self,
        change: Change<'_, '_, F>,
        kind: HoldKind,
        wait: &mut (impl Wait + ?Sized),
        liveness: &mut impl Liveness,
    ) -> Result<(), Error> {
        let word = self.region.owner_word();
        match contend::acquire_contended(word, self.me, self.fence, liveness, wait) {
            Ok(acquisition) => {
                self.region.count_contended();
                self.note_acquisition(acquisition);
                change.end(Some(kind));
                Ok(())
            }
            Err(seen) => {
                // The wake that was used up here may have been meant for another waiter.
                self.wake(if seen.is_free() { Wake::One } else { Wake::None });
                change.end(None);
                Err(Error::Busy { seen })
            }
        }
    }

    fn note_acquisition(&self, acquisition: Acquisition) {
        self.owner_died.set(acquisition.owner_died);
        self.region.count_acquisition(self.fence);
        if acquisition.recovered_from.is_some() {
            self.region.count_recovery();
        }
        self.update_record();
    }

    /// Writes the record if it is not the present one. Called only while the lock is held.
    pub(super) fn update_record(&self) {
        let described = self.region.record_describes(self.me);
        match &self.record {
            Some(_) if described && self.recorded.get() => {}
            Some(record) => self.region.write_record(self.me, record, self.fence),
            // Left by an earlier handle with this token, or by this handle while it had a record.
            None if described && !self.recorded.get() => {
                self.region.write_record(self.me, &Record::default(), self.fence);
            }
            None => {}
        }
        self.recorded.set(true);
    }

    /// Ends one hold.
    #[inline]
    pub(super) fn leave(&self, kind: HoldKind) -> Result<(), Error> {
        if !self.holds.is_single(kind) {
            return self.unnest(kind);
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
    fn unnest(&self, kind: HoldKind) -> Result<(), Error> {
        self.holds.unnest(kind)
    }

    fn wake(&self, wake: Wake) {
        self.owes_wake.set(wake == Wake::One);
        if wake == Wake::One {
            wait::send_event();
        }
    }
}

/// A handle in change, until [`end`](Self::end). If it is dropped instead, foreign code has unwound
/// out of the call.
struct Change<'l, 'a, F: Fence>(&'l RegionLock<'a, F>);

impl<'l, 'a, F: Fence> Change<'l, 'a, F> {
    #[inline]
    fn begin(lock: &'l RegionLock<'a, F>) -> Self {
        lock.holds.begin_change();
        Self(lock)
    }

    #[inline]
    fn end(self, hold: Option<HoldKind>) {
        self.0.holds.end_change(hold);
        core::mem::forget(self);
    }
}

impl<F: Fence> Drop for Change<'_, '_, F> {
    /// Leaves the same state as a call that did not acquire the lock: if the word names us, our
    /// critical section has not begun or has ended.
    #[cold]
    fn drop(&mut self) {
        let lock = self.0;
        let word = lock.region.owner_word();
        // The handle's own fence may be what panicked. The strongest one replaces any.
        let wake = match protocol::release(word, lock.me, FullSystem) {
            Ok(wake) => wake,
            // We may have set WAITERS, and used up a wake that was meant for another waiter.
            Err(seen) if contend::cancel_wait(word, seen, Attempt::AfterWaiting).is_free() => {
                Wake::One
            }
            Err(_) => Wake::None,
        };
        lock.wake(wake);
        lock.holds.end_change(None);
    }
}
