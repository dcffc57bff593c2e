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
    state: AtomicU32,
    /// The process generation (`sys/fork.rs`): a forked child finds its parent's slots here.
    generation: AtomicU32,
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
            self.slot.retire();
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
    let slot = claim_free().unwrap_or_else(append);
    let (device, inode) = entry.identity.numbers();
    slot.generation.store(entry.generation, Relaxed);
    slot.word.store(std::ptr::from_ref(entry.word).cast_mut(), Relaxed);
    slot.token.store(entry.token.get(), Relaxed);
    slot.full_system.store(u32::from(entry.fence == FenceScope::FullSystem), Relaxed);
    slot.device.store(device, Relaxed);
    slot.inode.store(inode, Relaxed);
    slot.thread_id.store(0, Relaxed);
    slot.thread_number.store(0, Relaxed);
    slot.state.store(LIVE, Release); // pairs with `pin` and `is_held_by`: the stores above
    Registration { slot, generation: entry.generation, retired: Cell::new(false) }
}

/// Claims a free slot; `None` if there is none.
fn claim_free() -> Option<&'static Slot> {
    let generation = fork::present_generation();
    // Partner: the stores below and in `retire`. Relaxed: a hint. If it is wrong, a slot too many
    // is appended.
    if FULL.load(Relaxed) == generation && generation != 0 {
        return None;
    }
    let Some(slot) = from(LIKELY.get()).chain(slots()).find(|slot| slot.claim()) else {
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

/// Appends a claimed slot to the list.
fn append() -> &'static Slot {
    let slot: &'static Slot = Box::leak(Box::new(Slot {
        state: AtomicU32::new(CLAIMED),
        generation: AtomicU32::new(0),
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
    /// Claims the slot for a new handle; returns `true` if it was free.
    fn claim(&self) -> bool {
        // A slot of another generation belongs to our parent, which does not use it in this
        // process: it is free here. Pairs with `retire`.
        let state = self.state.load(Acquire);
        let abandoned = state != FREE
            && self.generation.load(Relaxed) != fork::present_generation()
            && state != CLAIMED;
        (state == FREE || abandoned)
            && self.state.compare_exchange(state, CLAIMED, Acquire, Relaxed).is_ok()
    }

    /// Stores that this thread is about to acquire the lock through this handle.
    #[inline]
    pub(crate) fn used_by(&self, thread: Thread) {
        // Partner: `is_held_by`, `for_each`. Relaxed: these decide by the owner word.
        self.thread_id.store(thread.id, Relaxed);
        self.thread_number.store(thread.number, Relaxed); // partner: as above
    }

    /// Returns `true` if the handle belongs to this process, not to its parent.
    fn is_ours(&self) -> bool {
        // Partner: `enter`. Relaxed: the callers that act on it have acquired the state.
        self.generation.load(Relaxed) == fork::present_generation()
    }

    /// Keeps the region of the handle mapped until the state is decremented. Returns `false` if
    /// the slot has no open handle.
    fn pin(&self) -> bool {
        // Only in our own generation: another's slot may be claimed at any moment, whatever its
        // count. Pairs with `enter` (the whole slot is visible); makes `retire` wait.
        self.is_ours()
            && self
                .state
                .fetch_update(Acquire, Relaxed, |state| (state >= LIVE).then(|| state + 1))
                .is_ok()
    }

    /// Removes the handle before its region is unmapped. Waits for threads that have the slot
    /// pinned.
    fn retire(&'static self) {
        // Pairs with the end of the loop in `for_each`: no thread reads the word any more.
        while self.state.compare_exchange(LIVE, CLAIMED, AcqRel, Relaxed).is_err() {
            if !self.is_ours() {
                // A forked child: the handle is the parent's, and the thread that pinned it does
                // not exist here.
                return;
            }
            std::thread::yield_now();
        }
        self.word.store(std::ptr::null_mut(), Relaxed);
        self.state.store(FREE, Release); // pairs with `claim`
        LIKELY.point_to(Some(self));
        FULL.store(0, Relaxed); // partner: `claim_free`
    }

    /// Returns `true` if the slot is of the handle `owner` on this file, last used by this thread.
    fn is_held_by(&self, owner: Token, identity: FileId, thread: Thread) -> bool {
        // Pairs with `enter`. A slot that is reused meanwhile has another token.
        self.state.load(Acquire) >= LIVE
            && self.is_ours()
            && self.token.load(Relaxed) == owner.get()
            && self.thread_number.load(Relaxed) == thread.number
            && (self.device.load(Relaxed), self.inode.load(Relaxed)) == identity.numbers()
    }
}

/// Returns `true` if this thread acquired the lock on this file through the handle `owner`.
/// Async-signal-safe.
pub(crate) fn held_by_this_thread(owner: Token, identity: FileId) -> bool {
    let thread = this_thread();
    slots().any(|slot| slot.is_held_by(owner, identity, thread))
}

/// An open handle of this process. Its owner word stays valid while this value is borrowed.
pub(crate) struct Pinned {
    pub(crate) word: *const AtomicU32,
    pub(crate) token: Token,
    pub(crate) fence: FenceScope,
    /// The kernel's number of the thread that last began to acquire the lock; it may have ended.
    pub(crate) thread: u32,
    /// Our own number of that thread, which no other thread gets.
    pub(crate) thread_number: u32,
}

/// Calls `visit` for each open handle of this process, with a word that is valid during the call.
/// Skips a handle that is being added or removed. Async-signal-safe if `visit` is.
pub(crate) fn for_each(mut visit: impl FnMut(&Pinned)) {
    for slot in slots() {
        if !slot.pin() {
            continue;
        }
        if let Some(token) = Token::living(slot.token.load(Relaxed)) {
            let fence = match slot.full_system.load(Relaxed) {
                0 => FenceScope::InnerShareable,
                _ => FenceScope::FullSystem,
            };
            visit(&Pinned {
                word: slot.word.load(Relaxed),
                token,
                fence,
                thread: slot.thread_id.load(Relaxed),
                thread_number: slot.thread_number.load(Relaxed),
            });
        }
        slot.state.fetch_sub(1, Release); // pairs with `retire`: the word is not read any more
    }
}
