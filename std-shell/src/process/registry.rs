//! Lists the open handles of this process, a slot for each, so that a signal handler can walk it.
//!
//! The list tells a thread that it is about to wait for a lock that it holds itself: a certain
//! deadlock, reported as an error. It tells the exit handlers which locks to release. Whether a
//! handle holds its lock is not stored here: the owner word has the token of its owner.
//!
//! A fork may interrupt another thread at any step here, so no step takes a lock that the child
//! would find locked. A slot that is CLAIMED at the fork is lost to the child; the child reuses the
//! slots of its parent's handles.
//!
//! The list only grows: a slot is leaked once and reused by later handles. So walking needs no
//! lock, and there are as many slots as handles were ever open at one time.

#![allow(
    unsafe_code,
    reason = "a list that only grows, linked by raw pointers: `OnceLock` can be frozen by a fork"
)]

use std::cell::Cell;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64};

use shmlock_core::fence::{Fence, InnerShareable};
use shmlock_core::{FenceScope, Token};

use crate::sys::file_id::FileId;
use crate::sys::fork;
use crate::sys::thread::{Thread, this_thread};

/// The slot is unused.
const FREE: u32 = 0;
/// A handle is being entered or removed.
const CLAIMED: u32 = 1;
/// A handle is open. Each count above this value is a pin: a thread reads the owner word, which
/// must stay mapped. There may be several: the thread that ends the process reads the words of the
/// other threads while these release their locks.
const LIVE: u32 = 2;

/// The state of a slot: in the low half one of the above; in the high half the generation of the
/// process that claimed it (`sys/fork.rs`), 0 at first. A forked child finds its parent's slots
/// here.
///
/// One word, because two threads of a child may claim a slot of the parent at the same time. Once
/// one of them has it, the parent's state does not come back, so the other's exchange fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State(u64);

impl State {
    const fn new(generation: u32, stage: u32) -> Self {
        Self((generation as u64) << 32 | stage as u64)
    }

    const fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }

    #[expect(clippy::cast_possible_truncation, reason = "the low half")]
    const fn stage(self) -> u32 {
        self.0 as u32
    }

    /// Returns `true` if the slot has a handle of the process with this generation.
    const fn is_live_in(self, generation: u32) -> bool {
        self.stage() >= LIVE && self.generation() == generation
    }

    /// Returns `true` if the process with this generation may claim the slot. Another process's
    /// handle is not used in this one. A slot that was CLAIMED at the fork may still be written to:
    /// by the child's first thread, once the signal handler that forked has returned.
    const fn may_be_claimed_in(self, generation: u32) -> bool {
        self.stage() == FREE || self.stage() >= LIVE && self.generation() != generation
    }
}

static HEAD: Link = Link::new();

/// A slot near the end, from which the end is found; or none.
static TAIL: Link = Link::new();

/// A slot that is probably free: the slot freed last, or the neighbour of the slot claimed last; or
/// none. Without it, opening many handles would walk over all the others.
static LIKELY: Link = Link::new();

/// The generation of the process that found no free slot, and has freed none since; or 0.
static FULL: AtomicU32 = AtomicU32::new(0);

/// One open handle.
#[derive(Debug)]
pub(crate) struct Slot {
    /// A [`State`].
    state: AtomicU64,
    /// The owner word of the handle. Valid while the state is at least LIVE.
    word: AtomicPtr<AtomicU32>,
    token: AtomicU32,
    full_system: AtomicU32,
    device: AtomicU64,
    inode: AtomicU64,
    /// The thread that last began to acquire the lock, by the kernel's number and by our own. Both
    /// are 0 before the first acquisition.
    thread_id: AtomicU32,
    thread_number: AtomicU32,
    next: Link,
}

/// A pointer to the next slot, set once; or a hint, set at any time.
#[derive(Debug)]
struct Link(AtomicPtr<Slot>);

impl Link {
    const fn new() -> Self {
        Self(AtomicPtr::new(std::ptr::null_mut()))
    }

    fn get(&self) -> Option<&'static Slot> {
        // Pairs with `set`: the slot is initialised.
        let slot = self.0.load(Acquire);
        // SAFETY: null, or a slot that `append` has leaked, which is never freed.
        unsafe { slot.as_ref() }
    }

    /// Replaces the pointer, of a link that is only a hint.
    fn point_to(&self, slot: Option<&'static Slot>) {
        let slot = slot.map_or(std::ptr::null(), std::ptr::from_ref);
        self.0.store(slot.cast_mut(), Release); // pairs with `get`
    }

    /// Links the slot here. Returns the slot that is here already, if another thread was faster.
    fn set(&self, slot: &'static Slot) -> Result<(), &'static Slot> {
        let new = std::ptr::from_ref(slot).cast_mut();
        // Pairs with `get`, and with itself on another thread.
        match self.0.compare_exchange(std::ptr::null_mut(), new, AcqRel, Acquire) {
            Ok(_) => Ok(()),
            // SAFETY: not null, so a slot that `append` has leaked, which is never freed.
            Err(taken) => Err(unsafe { &*taken }),
        }
    }
}

/// The slot of a live handle. Its drop removes the handle from the list, so it is dropped before
/// the mapping.
#[derive(Debug)]
pub(crate) struct Registration {
    slot: &'static Slot,
    /// The process generation. A forked child may have claimed the slot for its own handle.
    generation: u32,
    retired: Cell<bool>,
}

impl Registration {
    pub(crate) fn slot(&self) -> &'static Slot {
        self.slot
    }

    /// Removes the handle from the list of its own process. Only the first call acts: later the
    /// slot may belong to another handle.
    pub(crate) fn retire(&self) {
        if self.generation == fork::present_generation() && !self.retired.replace(true) {
            self.slot.retire(self.generation);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.retire();
    }
}

/// The content of a slot.
pub(crate) struct Entry<'a> {
    pub(crate) generation: u32,
    pub(crate) word: &'a AtomicU32,
    pub(crate) token: Token,
    pub(crate) fence: FenceScope,
    pub(crate) identity: FileId,
}

/// Adds a handle to the list. The word stays valid until the registration is dropped or retired.
pub(crate) fn enter(entry: &Entry<'_>) -> Registration {
    let generation = entry.generation;
    let slot = claim_free(generation).unwrap_or_else(|| append(generation));
    let (device, inode) = entry.identity.numbers();
    slot.word.store(std::ptr::from_ref(entry.word).cast_mut(), Relaxed);
    slot.token.store(entry.token.get(), Relaxed);
    slot.full_system.store(u32::from(entry.fence == FenceScope::FullSystem), Relaxed);
    slot.device.store(device, Relaxed);
    slot.inode.store(inode, Relaxed);
    slot.thread_id.store(0, Relaxed);
    slot.thread_number.store(0, Relaxed);
    // Pairs with `pin` and `is_held_by`: the stores above.
    slot.state.store(State::new(generation, LIVE).0, Release);
    Registration { slot, generation, retired: Cell::new(false) }
}

/// Claims a free slot for a handle with the generation `birth`; `None` if there is none.
fn claim_free(birth: u32) -> Option<&'static Slot> {
    let generation = fork::present_generation();
    // Partner: the stores below and in `retire`. Relaxed: a hint. If it is wrong, a slot too many
    // is appended.
    if FULL.load(Relaxed) == generation && generation != 0 {
        return None;
    }
    let Some(slot) = from(LIKELY.get()).chain(slots()).find(|slot| slot.claim(birth)) else {
        FULL.store(generation, Relaxed); // partner: as above
        return None;
    };
    LIKELY.point_to(slot.next.get());
    Some(slot)
}

/// Returns every slot, used or not. Async-signal-safe.
fn slots() -> impl Iterator<Item = &'static Slot> {
    from(HEAD.get())
}

/// Returns the slots from this one on.
fn from(slot: Option<&'static Slot>) -> impl Iterator<Item = &'static Slot> {
    std::iter::successors(slot, |slot| slot.next.get())
}

/// Appends a slot to the list, claimed for a handle with the generation `birth`.
fn append(birth: u32) -> &'static Slot {
    let slot: &'static Slot = Box::leak(Box::new(Slot {
        state: AtomicU64::new(State::new(birth, CLAIMED).0),
        word: AtomicPtr::new(std::ptr::null_mut()),
        token: AtomicU32::new(0),
        full_system: AtomicU32::new(0),
        device: AtomicU64::new(0),
        inode: AtomicU64::new(0),
        thread_id: AtomicU32::new(0),
        thread_number: AtomicU32::new(0),
        next: Link::new(),
    }));
    let mut end = TAIL.get().map_or(&HEAD, |tail| &tail.next);
    while let Err(taken) = end.set(slot) {
        end = &taken.next;
    }
    TAIL.point_to(Some(slot));
    slot
}

impl Slot {
    /// Claims the slot for a handle with the generation `birth`; returns `true` if it was free.
    fn claim(&self, birth: u32) -> bool {
        // Pairs with `retire`.
        let state = State(self.state.load(Acquire));
        // Read after the state, and not `birth`: a signal handler may have forked, and this is the
        // child, which may have handles already.
        state.may_be_claimed_in(fork::present_generation())
            && self.replace(state, State::new(birth, CLAIMED))
    }

    /// Replaces the state, if it is `old`.
    fn replace(&self, old: State, new: State) -> bool {
        // Pairs with `enter`, `unpin`, the store of `retire`, and with itself.
        self.state.compare_exchange(old.0, new.0, AcqRel, Relaxed).is_ok()
    }

    /// Stores that this thread is about to acquire the lock through this handle.
    #[inline]
    pub(crate) fn used_by(&self, thread: Thread) {
        // Partner: `is_held_by`, `Pinned::thread`. Relaxed: the fence below orders.
        self.thread_id.store(thread.id, Relaxed);
        self.thread_number.store(thread.number, Relaxed); // partner: as above
        // Pairs with `acquire` in `Pinned::thread` and `held_by_this_thread`: a thread that has
        // seen this handle in the owner word sees the thread that acquired, and no earlier one.
        InnerShareable.release();
    }

    /// Keeps the region of the handle mapped until [`unpin`](Self::unpin). Returns `false` if the
    /// slot has no open handle of the process with this generation.
    fn pin(&self, generation: u32) -> bool {
        // Pairs with `enter` (the whole slot is visible); makes `retire` wait.
        let pinned = |state| State(state).is_live_in(generation).then(|| state + 1);
        self.state.fetch_update(Acquire, Relaxed, pinned).is_ok()
    }

    /// Ends a pin. Does nothing in a child that a signal handler has forked since, if another
    /// handle has the slot there.
    fn unpin(&self, generation: u32) {
        // Pairs with `retire`: the word is not read any more.
        let unpinned = |state| State(state).is_live_in(generation).then(|| state - 1);
        let _ = self.state.fetch_update(Release, Relaxed, unpinned);
    }

    /// Removes the handle with this generation before its region is unmapped. Waits for threads
    /// that have the slot pinned.
    fn retire(&'static self, generation: u32) {
        // Makes `pin` fail, and waits for `unpin`: no thread reads the word any more.
        while !self.replace(State::new(generation, LIVE), State::new(generation, CLAIMED)) {
            if fork::present_generation() != generation {
                // A forked child: the handle is the parent's, and the thread that pinned it does
                // not exist here.
                return;
            }
            std::thread::yield_now();
        }
        self.word.store(std::ptr::null_mut(), Relaxed);
        self.state.store(State::new(generation, FREE).0, Release); // pairs with `claim`
        LIKELY.point_to(Some(self));
        FULL.store(0, Relaxed); // partner: `claim_free`
    }

    /// Returns `true` if the slot is of the handle `owner` on this file, last used by this thread.
    fn is_held_by(&self, owner: Token, identity: FileId, thread: Thread) -> bool {
        // Pairs with `enter`. A slot that is reused meanwhile has another token.
        State(self.state.load(Acquire)).is_live_in(fork::present_generation())
            && self.token.load(Relaxed) == owner.get()
            && self.thread_number.load(Relaxed) == thread.number
            && (self.device.load(Relaxed), self.inode.load(Relaxed)) == identity.numbers()
    }
}

/// Returns `true` if this thread acquired the lock on this file through the handle `owner`.
/// Async-signal-safe.
pub(crate) fn held_by_this_thread(owner: Token, identity: FileId) -> bool {
    InnerShareable.acquire(); // pairs with `release` in `used_by`: the caller has read the word
    let thread = this_thread();
    slots().any(|slot| slot.is_held_by(owner, identity, thread))
}

/// An open handle of this process. Its owner word stays valid while this value is borrowed.
pub(crate) struct Pinned {
    pub(crate) word: *const AtomicU32,
    pub(crate) token: Token,
    pub(crate) fence: FenceScope,
    slot: &'static Slot,
}

impl Pinned {
    /// Returns the thread that last began to acquire the lock; it may have ended. Read *after* the
    /// owner word: if that names the handle, this is the thread that has the lock, or a later one.
    pub(crate) fn thread(&self) -> Thread {
        InnerShareable.acquire(); // pairs with `release` in `used_by`
        // Partner: `used_by`. Relaxed: the fence above orders.
        let (id, number) = (&self.slot.thread_id, &self.slot.thread_number);
        Thread { id: id.load(Relaxed), number: number.load(Relaxed) }
    }
}

/// Calls `visit` for each open handle of this process, with a word that is valid during the call.
/// Skips a handle that is being added or removed. Async-signal-safe if `visit` is.
pub(crate) fn for_each(mut visit: impl FnMut(&Pinned)) {
    // Only in our own generation: another's slot may be claimed at any moment.
    let generation = fork::present_generation();
    for slot in slots() {
        if !slot.pin(generation) {
            continue;
        }
        if let Some(token) = Token::living(slot.token.load(Relaxed)) {
            let fence = match slot.full_system.load(Relaxed) {
                0 => FenceScope::InnerShareable,
                _ => FenceScope::FullSystem,
            };
            visit(&Pinned { word: slot.word.load(Relaxed), token, fence, slot });
        }
        slot.unpin(generation);
    }
}

#[cfg(test)]
mod tests {
    use super::{CLAIMED, FREE, LIVE, State};

    #[test]
    fn a_process_claims_what_is_free_or_of_another_process_unless_that_is_claimed() {
        for (generation, stage, may_be_claimed) in [
            (1, FREE, true),
            (2, FREE, true),
            (1, CLAIMED, false),
            (2, CLAIMED, false),
            (1, LIVE, true),
            (2, LIVE, false),
            (1, LIVE + 1, true),
            (2, LIVE + 1, false),
        ] {
            let state = State::new(generation, stage);
            assert_eq!((state.generation(), state.stage()), (generation, stage));
            assert_eq!(state.may_be_claimed_in(2), may_be_claimed, "{state:?}");
            assert_eq!(state.is_live_in(2), generation == 2 && stage >= LIVE, "{state:?}");
        }
    }
}
