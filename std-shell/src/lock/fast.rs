//! Acquires and releases an undisturbed lock: the fast path, in the order of execution.
//!
//! An acquire is *undisturbed* if the owner word is 0, without owner and flags, and five facts
//! hold, which a few loads tell. Otherwise the owner word stays as it is, and
//! [`acquire_slow`](ShmLock::acquire_slow) does the whole of it.
//!
//! | fact | when it does not hold |
//! |---|---|
//! | the handle holds nothing | the hold nests; a signal handler interrupts acquire or release |
//! | `recorded`: its owner record is written | the first acquire; after `set_description` |
//! | `fast_path`: no bookkeeping, no head start | `measure_holds`, `poisoning`, signals, a head start |
//! | the handle is this process's | a forked child |
//! | the logger wants no `debug` events | it does |
//!
//! A release is undisturbed if the hold is plain (`lock/hold_count.rs`) and the handle this
//! process's.
//!
//! `ci/instructions.sh` counts the instructions of both. The rest is compiled apart, so that no
//! large `Result` passes through memory here.

use std::result::Result as StdResult;

use shmlock_core::Word;
use shmlock_core::protocol;

use crate::error::Result;
use crate::error::release::ReleaseError;
use crate::lock::guard::Guard;
use crate::lock::handle::ShmLock;
use crate::lock::hold_count::{AfterTransition, HoldKind};
use crate::sys::thread::{number_as_known, this_thread};
use crate::wait::deadline::Deadline;

impl ShmLock {
    /// Acquires the lock for a guard.
    #[inline]
    pub(crate) fn lock_with(&self, deadline: Deadline) -> Result<Guard<'_>> {
        if self.acquire_fast(HoldKind::Guarded) {
            return Ok(self.new_guard());
        }
        self.lock_slow(deadline)
    }

    /// Acquires the lock without a guard.
    #[inline]
    pub(crate) fn acquire_with(&self, deadline: Deadline) -> Result<()> {
        if self.acquire_fast(HoldKind::Unguarded) {
            return Ok(());
        }
        self.acquire_or_refuse(deadline, HoldKind::Unguarded)
    }

    /// Makes the guard of a hold that was just acquired for it.
    #[inline]
    pub(crate) fn new_guard(&self) -> Guard<'_> {
        Guard::new(self, self.holds.epoch())
    }

    /// Acquires a free lock if nothing disturbs that. Otherwise returns `false`, and the lock is as
    /// it was.
    #[inline]
    fn acquire_fast(&self, kind: HoldKind) -> bool {
        if !self.is_undisturbed() {
            return false;
        }
        let (region, fence) = (self.shared.region(), self.settings.fence);
        self.holds.begin_transition();
        self.note_thread();
        // The swap of the owner word. *If we die here:* the word names a dead owner.
        let is_acquired = protocol::try_acquire_fast(region.owner_word(), self.token, fence);
        if is_acquired {
            region.count_acquisition(fence);
            if !region.record_describes(self.token) {
                self.write_new_record(region); // another handle has held the lock since
            }
        }
        self.holds.end_transition(if is_acquired {
            AfterTransition::plain(kind)
        } else {
            AfterTransition::NOT_HELD
        });
        is_acquired
    }

    /// Returns `true` while the five facts of the file's head hold.
    #[inline]
    fn is_undisturbed(&self) -> bool {
        self.holds.is_none()
            && self.recorded.get()
            && self.fast_path.get()
            && self.shared.is_ours()
            && log::max_level() < log::LevelFilter::Debug
    }

    /// Stores in the slot which thread uses this handle, for the exit handlers and the deadlock
    /// check.
    #[inline]
    pub(crate) fn note_thread(&self) {
        if self.thread.get() != number_as_known() {
            self.note_another_thread();
        }
    }

    #[cold]
    fn note_another_thread(&self) {
        let thread = this_thread();
        self.slot.slot().used_by(thread);
        self.thread.set(thread.number);
    }

    /// Ends the hold of a guard that is dropped.
    #[inline]
    pub(crate) fn drop_guard(&self, epoch: u32) {
        // A plain hold of another epoch is not this guard's.
        if epoch == self.holds.epoch() && self.release_fast(HoldKind::Guarded).is_some() {
            return;
        }
        // A fault was logged where it was found; a drop has no caller to tell.
        let _ = self.release_guard(epoch);
    }

    /// Releases a plain hold of this kind. If there is none, returns `None`, and nothing has
    /// changed.
    #[inline]
    pub(crate) fn release_fast(&self, kind: HoldKind) -> Option<StdResult<(), ReleaseError>> {
        if !(self.holds.is_plain(kind) && self.shared.is_ours()) {
            return None;
        }
        self.holds.begin_transition();
        let released = self.release_word();
        self.holds.end_transition(AfterTransition::NOT_HELD);
        Some(released.map_err(|found| self.overwritten(found)))
    }

    /// Moves the owner word from this handle to free. *If we die before:* the word names a dead
    /// owner.
    ///
    /// # Errors
    /// The word found, if it does not name this handle.
    #[inline]
    pub(crate) fn release_word(&self) -> StdResult<(), Word> {
        let word = self.shared.region().owner_word();
        match protocol::release_fast(word, self.token, self.settings.fence) {
            Err(found) if found.is_owned_by(self.token) => self.release_contended(word),
            released => released,
        }
    }
}
