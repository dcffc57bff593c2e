//! Acquires and releases an undisturbed lock: the fast path, in the order of execution.
//!
//! An acquire is *undisturbed* if the owner word is 0, without owner and flags, and the facts of
//! this table hold. Two comparisons tell that. Otherwise the owner word stays as it is, and
//! [`acquire_slow`](ShmLock::acquire_slow) does the whole of it.
//!
//! | fact | when it does not hold | told by |
//! |---|---|---|
//! | the handle holds nothing | a nested hold; a handler in acquire or release | the state |
//! | the handle is this process's | a forked child | the state |
//! | this thread is noted in the slot | another thread used the handle, or it ended | the mark |
//! | `recorded` | its owner record is not written: first acquire, new description | closed |
//! | `fast_path` | `measure_holds`, `poisoning`, signals, full-system fences, head start | closed |
//! | no guard has outlived its hold | `force_release` during a guard's hold | closed |
//! | the logger wants no `debug` events | it does; looked at when the fast path opens | closed |
//!
//! *The state* is the one beside the anchor, and *the mark* is that of the anchor. *Closed*: the
//! fast path is closed then, and the anchor has no mark.
//!
//! The fast path is *open* for the thread whose mark the anchor has (`process/anchor.rs`). A thread
//! that finds another mark opens it, if the facts hold. Code that changes a fact closes it.
//!
//! A release is undisturbed if the hold is plain (`lock/hold_count.rs`) and the handle this
//! process's.
//!
//! `ci/instructions.sh` counts the instructions of both. The rest is compiled apart, so that no
//! large `Result` passes through memory here.

use std::result::Result as StdResult;
use std::sync::atomic::{Ordering, compiler_fence};

use shmlock_core::fence::InnerShareable;
use shmlock_core::{Region, Word, protocol};

use crate::error::Result;
use crate::error::release::ReleaseError;
use crate::lock::guard::Guard;
use crate::lock::handle::ShmLock;
use crate::lock::hold_count::{FIRST_EPOCH, HoldKind};
use crate::process::anchor::address_of;
use crate::process::thread_end::{Caller, watch_this_thread};
use crate::sys::thread::{number_as_known, this_thread};
use crate::sys::thread_pointer::{NO_MARK, thread_mark};
use crate::wait::deadline::Deadline;

impl ShmLock {
    /// Acquires the lock for a guard.
    #[inline]
    pub(crate) fn lock_with(&self, deadline: Deadline) -> Result<Guard<'_>> {
        if self.acquire_fast(HoldKind::Guarded) {
            return Ok(Guard::new(self, FIRST_EPOCH));
        }
        self.lock_slow(deadline)
    }

    /// Acquires the lock for a guard, waiting as long as it takes. Apart from `lock_with`, so that
    /// no deadline is made before it is needed.
    #[inline]
    pub(crate) fn lock_for_ever(&self) -> Result<Guard<'_>> {
        if self.acquire_fast(HoldKind::Guarded) {
            return Ok(Guard::new(self, FIRST_EPOCH));
        }
        self.lock_slow(Deadline::Forever)
    }

    /// Tries once to acquire the lock for a guard.
    #[inline]
    pub(crate) fn lock_once(&self) -> Result<Option<Guard<'_>>> {
        if self.acquire_fast(HoldKind::Guarded) {
            return Ok(Some(Guard::new(self, FIRST_EPOCH)));
        }
        let acquired = self.acquire_slow(Deadline::None, HoldKind::Guarded)?;
        Ok(acquired.then(|| self.new_guard()))
    }

    /// Tries once to acquire the lock without a guard.
    #[inline]
    pub(crate) fn acquire_once(&self) -> Result<bool> {
        if self.acquire_fast(HoldKind::Unguarded) {
            return Ok(true);
        }
        self.acquire_slow(Deadline::None, HoldKind::Unguarded)
    }

    /// Acquires the lock without a guard.
    #[inline]
    pub(crate) fn acquire_with(&self, deadline: Deadline) -> Result<()> {
        if self.acquire_fast(HoldKind::Unguarded) {
            return Ok(());
        }
        self.acquire_or_refuse(deadline, HoldKind::Unguarded)
    }

    /// Acquires the lock without a guard, waiting as long as it takes.
    #[inline]
    pub(crate) fn acquire_for_ever(&self) -> Result<()> {
        if self.acquire_fast(HoldKind::Unguarded) {
            return Ok(());
        }
        self.acquire_or_refuse(Deadline::Forever, HoldKind::Unguarded)
    }

    /// Acquires the lock without a guard, waiting as long as it takes. Returns `true` if an owner
    /// has died and the data was not declared consistent.
    #[inline]
    pub(crate) fn acquire_told(&self) -> Result<bool> {
        if self.acquire_fast(HoldKind::Unguarded) {
            return Ok(false); // the owner word was 0, without the DIED flag
        }
        self.acquire_or_refuse(Deadline::Forever, HoldKind::Unguarded)?;
        Ok(self.recovered().is_some())
    }

    /// Makes the guard of a hold that was just acquired for it.
    #[inline]
    pub(crate) fn new_guard(&self) -> Guard<'_> {
        Guard::new(self, self.holds.guard_epoch())
    }

    /// Acquires a free lock if nothing disturbs that. Otherwise returns `false`, and the lock is as
    /// it was.
    #[inline]
    fn acquire_fast(&self, kind: HoldKind) -> bool {
        self.anchor.with_region_at(self.holds.state(), |region, marked| {
            self.holds.begin_transition();
            // In the transition: from here on no signal handler changes a fact that this hold
            // needs.
            let is_open = marked.is(thread_mark()) || self.open_fast_path();
            if !(is_open && self.acquire_open(region)) {
                self.holds.end_fast_transition(address_of(region), None);
                return false;
            }
            self.holds.end_fast_transition(address_of(region), Some(kind));
            true
        })
    }

    /// Acquires a free lock in the transition that has begun.
    #[inline]
    fn acquire_open(&self, region: Region<'_>) -> bool {
        let swap = |word: &_, old, new| self.swap.swap(word, old, new);
        // *If we die after the swap:* the word names a dead owner.
        if !protocol::try_acquire_fast_by(region.owner_word(), self.token, InnerShareable, swap) {
            return false;
        }
        region.count_acquisition(InnerShareable);
        if !region.record_names(self.token) {
            self.write_new_record(region); // another handle has held the lock since
        }
        true
    }

    /// Opens the fast path for this thread, and notes the thread in the slot, if all facts of the
    /// file's head hold. Returns `true` if so. Async-signal-safe.
    #[cold]
    fn open_fast_path(&self) -> bool {
        if !watch_this_thread(Caller::MayBeHandler) {
            return false;
        }
        self.note_thread();
        // First the mark, then the facts: a signal handler that changes one closes the path.
        self.anchor.set_mark(thread_mark());
        compiler_fence(Ordering::SeqCst); // partner: `close_fast_path` in such a handler
        let is_open = self.recorded.get()
            && self.fast_path.get()
            && self.holds.may_be_plain()
            && log::max_level() < log::LevelFilter::Debug;
        if !is_open {
            self.close_fast_path();
        }
        is_open
    }

    /// Closes the fast path: the next acquisition looks at the facts. Called after one has changed.
    pub(crate) fn close_fast_path(&self) {
        compiler_fence(Ordering::SeqCst); // partner: `open_fast_path`, in the code interrupted
        self.anchor.set_mark(NO_MARK);
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
        // First: the mark of the thread that was noted before says that it is still noted.
        self.close_fast_path();
        let thread = this_thread();
        self.slot.slot().used_by(thread);
        self.thread.set(thread.number);
    }

    /// Ends the hold of a guard that is dropped.
    #[inline]
    pub(crate) fn drop_guard(&self, epoch: u32) {
        // The guard of a plain hold is current, whatever its epoch.
        if self.release_fast(HoldKind::Guarded).is_some() {
            return;
        }
        // A fault was logged where it was found; a drop has no caller to tell.
        let _ = self.release_guard(epoch);
    }

    /// Releases a plain hold of this kind. If there is none, returns `None`, and nothing has
    /// changed.
    #[inline]
    pub(crate) fn release_fast(&self, kind: HoldKind) -> Option<StdResult<(), ReleaseError>> {
        if !self.holds.is_plain(kind) {
            return None;
        }
        let region = self.anchor.region()?;
        self.holds.begin_transition();
        let swap = |word: &_, old, new| self.swap.swap(word, old, new);
        let word = region.owner_word();
        match protocol::release_fast_by(word, self.token, InnerShareable, swap) {
            Ok(()) => {
                self.holds.end_fast_transition(address_of(region), None);
                Some(Ok(()))
            }
            Err(found) => Some(self.release_disturbed(region, found)),
        }
    }

    /// Releases a plain hold in the transition that has begun. The word that was found has flags,
    /// or does not name this handle.
    #[cold]
    fn release_disturbed(&self, region: Region<'_>, found: Word) -> StdResult<(), ReleaseError> {
        let released = if found.is_owned_by(self.token) {
            self.release_contended(region.owner_word())
        } else {
            Err(found)
        };
        self.holds.end_fast_transition(address_of(region), None);
        released.map_err(|found| self.overwritten(found))
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
