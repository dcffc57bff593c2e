//! Moves the owner word and the count of holds together, whatever foreign code does in between.

use core::sync::atomic::{Ordering, compiler_fence};

use super::disturbed::{Disturbed, Refusal};
use super::hold_count::HoldKind;
use super::{Outcome, RegionLock};
use crate::contend::{self, AssumeAlive, Liveness};
use crate::error::Error;
use crate::fence::{Fence, FullSystem};
use crate::protocol::{self, Acquisition, Attempt, Wake};
use crate::record::encoded::EncodedRecord;
use crate::wait::{self, Spin, Wait, WaitAction, WaitContext};
use crate::word::Word;

impl<'a, F: Fence> RegionLock<'a, F> {
    /// Acquires a free lock that no other handle has held since this one held it last: the whole
    /// acquisition, in the fewest instructions.
    #[inline]
    pub(super) fn enter_undisturbed(&self, kind: HoldKind) -> Result<(), Disturbed<'a>> {
        if !self.holds.is_none() {
            return Err(Disturbed::Unchanged);
        }
        let change = Change::begin(self);
        let region = self.region; // read once: the compiler cannot know that it never changes
        if !protocol::try_acquire_fast(region.owner_word(), self.me, self.fence) {
            change.end(None);
            return Err(Disturbed::Unchanged);
        }
        // The count that this handle stored last stands: so does its record, and the high half.
        let Some(count) = region.count_next_acquisition(self.counted.get()) else {
            change.go_on();
            return Err(Disturbed::Uncounted(region));
        };
        self.counted.set(count);
        change.end(Some(kind));
        Ok(())
    }

    /// Goes on with an acquisition that was disturbed, without waiting. Returns `true` if the
    /// handle has one hold more. For cold callers.
    #[inline]
    pub(super) fn try_enter_disturbed(
        &self,
        disturbed: Disturbed<'a>,
        kind: HoldKind,
    ) -> Result<bool, Refusal> {
        let seen = self.word();
        if self.holds.is_none() && !seen.is_free() && !seen.is_owned_by(self.me) {
            self.outcome.set(Outcome::NONE);
            return Ok(false);
        }
        match self.enter_or_wait(&mut Spin::attempts(0), AssumeAlive, disturbed, kind) {
            Ok(()) => Ok(true),
            Err(Refusal::Busy(_)) => Ok(false),
            Err(refusal) => Err(refusal),
        }
    }

    /// Goes on with an acquisition that was disturbed, and may wait. For cold callers: a few
    /// instructions for each type of `wait`, so that the function behind them is made once.
    #[inline]
    pub(super) fn enter_or_wait(
        &self,
        wait: &mut (impl Wait + ?Sized),
        liveness: impl Liveness,
        disturbed: Disturbed<'a>,
        kind: HoldKind,
    ) -> Result<(), Refusal> {
        struct Borrowed<'w, W: ?Sized>(&'w mut W);

        impl<W: Wait + ?Sized> Wait for Borrowed<'_, W> {
            fn wait(&mut self, context: &mut WaitContext<'_>) -> WaitAction {
                self.0.wait(context)
            }
        }

        self.enter_disturbed(&mut Borrowed(wait), liveness, disturbed, kind)
    }

    /// Goes on with an acquisition after [`enter_undisturbed`](Self::enter_undisturbed).
    #[cold]
    #[inline(never)]
    fn enter_disturbed(
        &self,
        wait: &mut dyn Wait,
        mut liveness: impl Liveness,
        disturbed: Disturbed<'a>,
        kind: HoldKind,
    ) -> Result<(), Refusal> {
        let (change, acquisition) = if let Disturbed::Uncounted(_) = disturbed {
            (Change(self), UNDISTURBED)
        } else if self.holds.is_none() {
            let change = Change::begin(self);
            match self.contend(wait, &mut liveness) {
                Ok(acquisition) => (change, acquisition),
                Err(seen) => {
                    // The wake that was used up here may have been meant for another waiter.
                    self.wake(if seen.is_free() { Wake::One } else { Wake::None });
                    change.end(None);
                    return Err(Refusal::Busy(seen));
                }
            }
        } else {
            return self.nest(kind);
        };
        self.note_acquisition(acquisition);
        change.end(Some(kind));
        Ok(())
    }

    /// Contends for the lock, and counts the acquisition as contended if another held the lock.
    #[inline]
    fn contend(
        &self,
        wait: &mut dyn Wait,
        liveness: &mut impl Liveness,
    ) -> Result<Acquisition, Word> {
        /// Notes that there was a wait.
        struct Noting<'w>(&'w mut dyn Wait, bool);

        impl Wait for Noting<'_> {
            #[inline]
            fn wait(&mut self, context: &mut WaitContext<'_>) -> WaitAction {
                self.1 = true;
                self.0.wait(context)
            }
        }

        let word = self.region.owner_word();
        let mut wait = Noting(wait, false);
        let acquisition =
            contend::acquire_contended_inline(word, self.me, self.fence, liveness, &mut wait)?;
        if wait.1 || acquisition.recovered_from.is_some() {
            self.region.count_contended();
        }
        Ok(acquisition)
    }

    /// Counts one more hold, if the word names this handle. The count alone is no proof: the region
    /// may have been written to, or a forked child may have released the lock under the same token.
    #[inline]
    fn nest(&self, kind: HoldKind) -> Result<(), Refusal> {
        if self.holds.is_in_change() {
            return Err(Refusal::InUse);
        }
        let found = self.word();
        if !found.is_owned_by(self.me) {
            return Err(Refusal::Overwritten(found));
        }
        if self.holds.nest(kind) { Ok(()) } else { Err(Refusal::NestingTooDeep) }
    }

    fn note_acquisition(&self, acquisition: Acquisition) {
        self.outcome.set(Outcome { owner_died: acquisition.owner_died, ..self.outcome.get() });
        let count = self.region.count_acquisition(self.fence);
        if acquisition.recovered_from.is_some() {
            self.region.count_recovery();
        }
        self.update_record();
        // Last, for the fence may panic before: only now is the record right as well.
        self.counted.set(count);
    }

    /// Writes the record if it is not the present one. Called only while the lock is held.
    pub(super) fn update_record(&self) {
        let (record, since) = match &self.record {
            Some(record) => (&record.encoded, record.since()),
            None => (&EncodedRecord::EMPTY, 0),
        };
        let described = self.region.record_describes(self.me);
        // Without a record, one is written over what was left by an earlier handle with this token,
        // or by this handle while it had a record.
        let stale = match self.record {
            Some(_) => !(described && self.recorded.get()),
            None => described && !self.recorded.get(),
        };
        if stale {
            self.region.write_encoded(self.me, record, since, self.fence);
        }
        self.recorded.set(true);
    }

    /// Ends one hold.
    #[inline]
    pub(super) fn leave(&self, kind: HoldKind) -> Result<(), Error> {
        if self.leave_undisturbed(kind) { Ok(()) } else { self.leave_disturbed(kind) }
    }

    /// Ends the only hold, if no waiter sleeps and no owner has died. Returns `true` if so;
    /// otherwise nothing has changed.
    #[inline]
    pub(super) fn leave_undisturbed(&self, kind: HoldKind) -> bool {
        if !self.holds.is_single(kind) {
            return false;
        }
        let change = Change::begin(self);
        let word = self.region.owner_word();
        let released = protocol::release_fast(word, self.me, self.fence).is_ok();
        if released {
            change.end_released();
        } else {
            change.end(Some(kind));
        }
        released
    }

    /// Ends one hold after [`leave_undisturbed`](Self::leave_undisturbed).
    #[cold]
    #[inline(never)]
    pub(super) fn leave_disturbed(&self, kind: HoldKind) -> Result<(), Error> {
        if !self.holds.is_single(kind) {
            return self.holds.unnest(kind);
        }
        let change = Change::begin(self);
        let released = protocol::release(self.region.owner_word(), self.me, self.fence);
        self.wake(released.unwrap_or(Wake::None));
        change.end(None);
        released.map(|_| ()).map_err(|found| Error::Overwritten { found })
    }

    /// Notes, when the lock has been released or an acquisition was given up, whether a wake is
    /// owed.
    pub(super) fn wake(&self, wake: Wake) {
        let owes_wake = wake == Wake::One;
        self.outcome.set(Outcome { owner_died: false, owes_wake });
        if owes_wake {
            wait::send_event();
        }
    }
}

/// An acquisition of a free lock without flags.
const UNDISTURBED: Acquisition = Acquisition { owner_died: false, recovered_from: None };

/// A handle in change, until [`end`](Self::end). If it is dropped instead, foreign code has unwound
/// out of the call.
struct Change<'l, 'a, F: Fence>(&'l RegionLock<'a, F>);

impl<'l, 'a, F: Fence> Change<'l, 'a, F> {
    #[inline]
    fn begin(lock: &'l RegionLock<'a, F>) -> Self {
        lock.holds.begin_change();
        // Partner: an interrupt handler on this thread or core, which sees this state before it
        // sees the word move.
        compiler_fence(Ordering::SeqCst);
        Self(lock)
    }

    #[inline]
    fn end(self, hold: Option<HoldKind>) {
        // Partner: as above; it sees the word moved before it sees this state.
        compiler_fence(Ordering::SeqCst);
        self.0.holds.end_change(hold);
        core::mem::forget(self);
    }

    /// Ends the release of a lock for which no waiter sleeps.
    #[inline]
    fn end_released(self) {
        // Partner: as above.
        compiler_fence(Ordering::SeqCst);
        self.0.outcome.set(Outcome::NONE);
        self.0.holds.end_change(None);
        core::mem::forget(self);
    }

    /// Leaves the handle in change: the caller goes on with the change.
    #[inline]
    fn go_on(self) {
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
        compiler_fence(Ordering::SeqCst); // partner: as above
        lock.holds.end_change(None);
    }
}
