//! Moves the words of a line and the count of holds together, whatever foreign code does in
//! between.

use core::sync::atomic::{Ordering, compiler_fence};

use super::TicketLock;
use super::contend::Contention;
use super::steps::Party;
use crate::contend::Liveness;
use crate::error::Error;
use crate::fence::{Fence, FullSystem};
use crate::lock::hold_count::HoldKind;
use crate::record::encoded::EncodedRecord;
use crate::wait::{Wait, WaitAction, WaitContext};

impl<const N: usize, F: Fence> TicketLock<'_, N, F> {
    /// Acquires the lock, or counts one more hold. This is a few instructions for each type of
    /// `wait`; the function behind them is compiled once.
    #[inline]
    pub(super) fn acquire_as(
        &self,
        kind: HoldKind,
        wait: &mut (impl Wait + ?Sized),
        liveness: &mut impl Liveness,
    ) -> Result<(), Error> {
        struct Borrowed<'w, W: ?Sized>(&'w mut W);

        impl<W: Wait + ?Sized> Wait for Borrowed<'_, W> {
            fn wait(&mut self, context: &mut WaitContext<'_>) -> WaitAction {
                self.0.wait(context)
            }
        }

        self.acquire_by(kind, &mut Borrowed(wait), liveness)
    }

    fn acquire_by(
        &self,
        kind: HoldKind,
        wait: &mut dyn Wait,
        liveness: &mut impl Liveness,
    ) -> Result<(), Error> {
        if !self.holds.is_none() {
            return self.nest(kind);
        }
        let mut change = Change::begin(self);
        if !self.alive.get() {
            self.begin_life();
        }
        let mut contention = Contention::new(wait, liveness);
        if let Err(seen) = contention.acquire(&self.us) {
            change.end(None);
            return Err(Error::Busy { seen });
        }
        change.is_inside = true;
        self.note_acquisition(contention.failed > 0);
        change.end(Some(kind));
        Ok(())
    }

    /// Counts one more hold.
    #[cold]
    fn nest(&self, kind: HoldKind) -> Result<(), Error> {
        if self.holds.is_in_change() {
            return Err(Error::InUse);
        }
        if self.holds.nest(kind) { Ok(()) } else { Err(Error::NestingTooDeep) }
    }

    /// Ends one hold.
    #[inline]
    pub(super) fn leave(&self, kind: HoldKind) -> Result<(), Error> {
        if !self.holds.is_single(kind) {
            return self.holds.unnest(kind);
        }
        let mut change = Change::begin(self);
        change.is_inside = true;
        self.us.leave();
        change.end(None);
        Ok(())
    }

    /// Begins a life of the party, of which this is the only handle in use.
    pub(super) fn recover_as_party(&self) -> Result<bool, Error> {
        if self.holds.is_in_change() {
            return Err(Error::InUse);
        }
        if self.holds.is_some() {
            return Err(Error::AlreadyHeld);
        }
        let change = Change::begin(self);
        let died = self.begin_life();
        change.end(None);
        Ok(died)
    }

    #[cold]
    fn begin_life(&self) -> bool {
        let died = self.us.begin_life();
        self.alive.set(true);
        died
    }

    #[inline]
    fn note_acquisition(&self, waited: bool) {
        let shared = self.us.region.shared();
        if waited {
            shared.count_contended();
        }
        // If the count that this handle stored last stands, its record and the high half do, too.
        if let Some(count) = shared.count_next_acquisition(self.counted.get()) {
            self.counted.set(count);
        } else {
            self.note_acquisition_after_others();
        }
    }

    #[cold]
    #[inline(never)]
    fn note_acquisition_after_others(&self) {
        let count = self.us.region.shared().count_acquisition(self.us.fence);
        self.update_record();
        // Last, for the fence may panic before: only now is the record right as well.
        self.counted.set(count);
    }

    /// Writes the record if it is not the present one. Called only while the lock is held.
    pub(super) fn update_record(&self) {
        let shared = self.us.region.shared();
        let (record, since) = match &self.record {
            Some((record, since)) => (record, *since),
            None => (&EncodedRecord::EMPTY, 0),
        };
        let described = shared.record_describes(self.token());
        // Without a record, an empty one replaces the record that an earlier handle of this party
        // left, or this handle while it had one.
        let stale = match self.record {
            Some(_) => !(described && self.recorded.get()),
            None => described && !self.recorded.get(),
        };
        if stale {
            shared.write_encoded(self.token(), record, since, self.us.fence);
        }
        self.recorded.set(true);
    }
}

/// A handle in change, until [`end`](Self::end). If it is dropped instead, foreign code has unwound
/// out of the call.
struct Change<'l, 'a, const N: usize, F: Fence> {
    lock: &'l TicketLock<'a, N, F>,
    /// `true` if INSIDE in our line is of this handle.
    is_inside: bool,
}

impl<'l, 'a, const N: usize, F: Fence> Change<'l, 'a, N, F> {
    #[inline]
    fn begin(lock: &'l TicketLock<'a, N, F>) -> Self {
        lock.holds.begin_change();
        // Partner: an interrupt handler on this thread or core, which sees this state before it
        // sees the line move.
        compiler_fence(Ordering::SeqCst);
        Self { lock, is_inside: false }
    }

    #[inline]
    fn end(self, hold: Option<HoldKind>) {
        // Partner: as above; it sees the line moved before it sees this state.
        compiler_fence(Ordering::SeqCst);
        self.lock.holds.end_change(hold);
        core::mem::forget(self);
    }
}

impl<const N: usize, F: Fence> Drop for Change<'_, '_, N, F> {
    /// Leaves the same state as a call that did not acquire the lock: our critical section has not
    /// begun or has ended. An INSIDE that another handle of our party left is a death. (So is ours
    /// if the fence of `enter` panics: more careful than needed.)
    #[cold]
    fn drop(&mut self) {
        let Party { region, number, line, .. } = self.lock.us;
        // The handle's own fence may be what panicked. The strongest one replaces any.
        let us = Party { region, number, line, fence: FullSystem };
        if self.is_inside {
            us.leave(); // CHOOSING has fallen before
        } else {
            us.begin_life(); // counts such a death, and clears the line
        }
        compiler_fence(Ordering::SeqCst); // partner: as above
        self.lock.holds.end_change(None);
    }
}
