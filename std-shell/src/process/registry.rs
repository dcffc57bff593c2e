//! What this process has open: one slot for each handle, in a list that a signal handler may walk.
//!
//! Two questions are answered here. *Does this very thread hold the lock that I am about to wait
//! for?*, so that a certain deadlock is an error. *What does this process hold?*, for the exit
//! handlers. Whether a handle holds its lock is not noted: the owner word itself says so, by the
//! handle's token.
//!
//! A fork may find another thread at any step here. So there is nothing that a step could leave
//! locked: a slot that was being entered or removed is lost to the child, and those that its parent
//! uses are taken for free.
//!
//! The list only grows; a slot is leaked once and used again by later handles. So walking needs no
//! lock, and the number of slots is the largest number of handles that were open at one time.

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
use crate::sys::thread::{Thread, this_thread_by_number};

/// Nobody uses the slot.
const FREE: u32 = 0;
/// A handle is being entered or removed.
const CLAIMED: u32 = 1;
/// A handle is open. Each more than this is one who looks at its owner word right now, so that it
/// must not be unmapped. Several may: the thread that ends the process looks at what the others
/// hold while these give it back.
const LIVE: u32 = 2;

static HEAD: Link = Link::new();

/// One open handle.
#[derive(Debug)]
pub(crate) struct Slot {
    state: AtomicU32,
    /// In which process, see `fork.rs`: a child finds its parent's slots here.
    generation: AtomicU32,
    /// Its owner word. Valid while the state is at least LIVE.
    word: AtomicPtr<AtomicU32>,
    token: AtomicU32,
    full_system: AtomicU32,
    device: AtomicU64,
    inode: AtomicU64,
    /// The thread that last began to take the lock: the kernel's number, and ours. 0 before the
    /// first.
    thread_id: AtomicU32,
    thread_number: AtomicU32,
    next: Link,
}

/// Where the next slot is; set once.
#[derive(Debug)]
struct Link(AtomicPtr<Slot>);

impl Link {
    const fn new() -> Self {
        Self(AtomicPtr::new(std::ptr::null_mut()))
    }

    fn get(&self) -> Option<&'static Slot> {
        // Pairs with `set`: the slot is whole.
        let slot = self.0.load(Acquire);
        // SAFETY: null, or a slot that `append` has leaked and nobody frees.
        unsafe { slot.as_ref() }
    }

    /// Links the slot here. If another thread was faster, returns that thread's slot.
    fn set(&self, slot: &'static Slot) -> Result<(), &'static Slot> {
        let new = std::ptr::from_ref(slot).cast_mut();
        // Pairs with `get`, and with itself on another thread.
        match self.0.compare_exchange(std::ptr::null_mut(), new, AcqRel, Acquire) {
            Ok(_) => Ok(()),
            // SAFETY: not null, so a slot that `append` has leaked and nobody frees.
            Err(taken) => Err(unsafe { &*taken }),
        }
    }
}

/// A slot for as long as its handle lives. Dropping it takes the handle out, so it is dropped
/// before the mapping is.
#[derive(Debug)]
pub(crate) struct Registration {
    slot: &'static Slot,
    /// In which process. A forked child may have claimed the slot for a handle of its own.
    generation: u32,
    retired: Cell<bool>,
}

impl Registration {
    pub(crate) fn slot(&self) -> &'static Slot {
        self.slot
    }

    /// Takes the handle out, in its own process. Only the first time: later the slot may be another
    /// handle's.
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

/// What a slot is filled with.
pub(crate) struct Entry<'a> {
    pub(crate) generation: u32,
    pub(crate) word: &'a AtomicU32,
    pub(crate) token: Token,
    pub(crate) fence: FenceScope,
    pub(crate) identity: FileId,
}

/// Enters a handle. The word has to stay valid until the registration is dropped or retired.
pub(crate) fn enter(entry: &Entry<'_>) -> Registration {
    let slot = slots().find(|slot| slot.claim()).unwrap_or_else(append);
    let (device, inode) = entry.identity.numbers();
    slot.generation.store(entry.generation, Relaxed);
    slot.word.store(std::ptr::from_ref(entry.word).cast_mut(), Relaxed);
    slot.token.store(entry.token.get(), Relaxed);
    slot.full_system.store(u32::from(entry.fence == FenceScope::FullSystem), Relaxed);
    slot.device.store(device, Relaxed);
    slot.inode.store(inode, Relaxed);
    slot.thread_id.store(0, Relaxed);
    slot.thread_number.store(0, Relaxed);
    slot.state.store(LIVE, Release); // pairs with `pin` and `is_held_by`: all of the above
    Registration { slot, generation: entry.generation, retired: Cell::new(false) }
}

/// Every slot, in use or not. Async-signal-safe.
fn slots() -> impl Iterator<Item = &'static Slot> {
    std::iter::successors(HEAD.get(), |slot| slot.next.get())
}

/// Adds a claimed slot at the end.
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
    let mut end = &HEAD;
    while let Err(taken) = end.set(slot) {
        end = &taken.next;
    }
    slot
}

impl Slot {
    fn claim(&self) -> bool {
        // A slot of another generation is our parent's, which cannot use it here: as good as free.
        // Pairs with `retire`.
        let state = self.state.load(Acquire);
        let abandoned = state != FREE
            && self.generation.load(Relaxed) != fork::present_generation()
            && state != CLAIMED;
        (state == FREE || abandoned)
            && self.state.compare_exchange(state, CLAIMED, Acquire, Relaxed).is_ok()
    }

    /// Says that this thread is about to take the lock by this handle.
    #[inline]
    pub(crate) fn used_by(&self, thread: Thread) {
        // Partner: `is_held_by`, `for_each`. Relaxed: they judge by the owner word.
        self.thread_id.store(thread.id, Relaxed);
        self.thread_number.store(thread.number, Relaxed); // partner: as above
    }

    /// Returns `true` if its handle is of this process, and not of the parent of a forked child.
    fn is_ours(&self) -> bool {
        // Partner: `enter`. Relaxed: the callers that act by it have acquired the state.
        self.generation.load(Relaxed) == fork::present_generation()
    }

    /// Keeps the handle's region mapped until the state is counted down again; `false` if no handle
    /// is open here.
    fn pin(&self) -> bool {
        // Only one of ours: another's may be claimed at any moment, whatever is counted there.
        // Pairs with `enter` (all of the slot is visible), and keeps `retire` waiting.
        self.is_ours()
            && self
                .state
                .fetch_update(Acquire, Relaxed, |state| (state >= LIVE).then(|| state + 1))
                .is_ok()
    }

    /// Takes the handle out, before its region is unmapped. Waits for threads that look at the
    /// owner word right now.
    fn retire(&self) {
        // Pairs with the end of the loop in `for_each`: the threads that looked have finished.
        while self.state.compare_exchange(LIVE, CLAIMED, AcqRel, Relaxed).is_err() {
            if !self.is_ours() {
                // A forked child: the thread that looked is not here, and the handle is the
                // parent's.
                return;
            }
            std::thread::yield_now();
        }
        self.word.store(std::ptr::null_mut(), Relaxed);
        self.state.store(FREE, Release); // pairs with `claim`
    }

    fn is_held_by(&self, owner: Token, identity: FileId, thread: Thread) -> bool {
        // Pairs with `enter`. A slot that changes meanwhile has another token.
        self.state.load(Acquire) >= LIVE
            && self.is_ours()
            && self.token.load(Relaxed) == owner.get()
            && self.thread_number.load(Relaxed) == thread.number
            && (self.device.load(Relaxed), self.inode.load(Relaxed)) == identity.numbers()
    }
}

/// Whether the handle `owner` on this file is one that this thread took the lock by.
/// Async-signal-safe.
pub(crate) fn held_by_this_thread(owner: Token, identity: FileId) -> bool {
    let thread = this_thread_by_number();
    slots().any(|slot| slot.is_held_by(owner, identity, thread))
}

/// A handle that is open in this process, with its owner word kept valid for as long as this value
/// is borrowed.
pub(crate) struct Pinned {
    pub(crate) word: *const AtomicU32,
    pub(crate) token: Token,
    pub(crate) fence: FenceScope,
    /// The kernel's number of the thread that last began to take the lock. That thread may have
    /// ended.
    pub(crate) thread: u32,
    /// Our own number of it, which no other thread gets.
    pub(crate) thread_number: u32,
}

/// Runs `look` on each open handle of this process. Async-signal-safe if `look` is.
///
/// The word is valid while `look` runs. A handle that is being entered or removed right now is
/// passed over.
pub(crate) fn for_each(mut look: impl FnMut(&Pinned)) {
    for slot in slots() {
        if !slot.pin() {
            continue;
        }
        if let Some(token) = Token::living(slot.token.load(Relaxed)) {
            let fence = match slot.full_system.load(Relaxed) {
                0 => FenceScope::InnerShareable,
                _ => FenceScope::FullSystem,
            };
            look(&Pinned {
                word: slot.word.load(Relaxed),
                token,
                fence,
                thread: slot.thread_id.load(Relaxed),
                thread_number: slot.thread_number.load(Relaxed),
            });
        }
        slot.state.fetch_sub(1, Release); // pairs with `retire`: we have finished looking
    }
}
