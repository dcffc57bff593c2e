//! What this process has open: one slot for each handle, in a list that a signal handler may walk.
//!
//! Two questions are answered here. *Does this very thread hold the lock that I am about to wait for?*, so that a
//! certain deadlock is an error. *What does this process hold?*, for the exit handlers. Whether a handle holds its lock
//! is not noted: the owner word itself says so, by the handle's token.
//!
//! The list only grows; a slot is leaked once and used again by later handles. So walking needs no lock, and the
//! number of slots is the largest number of handles that were open at one time.

use std::sync::OnceLock;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64};

use shmlock_core::{FenceScope, Token};

use crate::file::Identity;
use crate::fork;
use crate::thread::this_thread;

/// Nobody uses the slot.
const FREE: u32 = 0;
/// A handle is being entered or removed.
const CLAIMED: u32 = 1;
/// A handle is open. Each more than this is one who looks at its owner word right now, so that it must not be unmapped.
/// Several may: the thread that ends the process looks at what the others hold while these give it back.
const LIVE: u32 = 2;

static HEAD: OnceLock<&'static Slot> = OnceLock::new();

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
    /// The thread that last began to take the lock; 0 before the first.
    thread: AtomicU32,
    next: OnceLock<&'static Slot>,
}

/// What a slot is filled with.
pub(crate) struct Entry<'a> {
    pub(crate) generation: u32,
    pub(crate) word: &'a AtomicU32,
    pub(crate) token: Token,
    pub(crate) fence: FenceScope,
    pub(crate) identity: Identity,
}

/// Enters a handle. The word stays valid until [`Slot::retire`].
pub(crate) fn enter(entry: &Entry<'_>) -> &'static Slot {
    let slot = slots().find(|slot| slot.claim()).unwrap_or_else(append);
    let (device, inode) = entry.identity.numbers();
    slot.generation.store(entry.generation, Relaxed);
    slot.word.store(std::ptr::from_ref(entry.word).cast_mut(), Relaxed);
    slot.token.store(entry.token.get(), Relaxed);
    slot.full_system.store(u32::from(entry.fence == FenceScope::FullSystem), Relaxed);
    slot.device.store(device, Relaxed);
    slot.inode.store(inode, Relaxed);
    slot.thread.store(0, Relaxed);
    slot.state.store(LIVE, Release); // pairs with `pin` and `is_held_by`: all of the above
    slot
}

/// Every slot, in use or not. Async-signal-safe.
fn slots() -> impl Iterator<Item = &'static Slot> {
    std::iter::successors(HEAD.get().copied(), |slot| slot.next.get().copied())
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
        thread: AtomicU32::new(0),
        next: OnceLock::new(),
    }));
    let mut end = &HEAD;
    while end.set(slot).is_err() {
        let Some(taken) = end.get() else { continue };
        end = &taken.next;
    }
    slot
}

impl Slot {
    fn claim(&self) -> bool {
        // A slot of another generation is our parent's, which cannot use it here: as good as free. Pairs with `retire`.
        let state = self.state.load(Acquire);
        let abandoned =
            state != FREE && self.generation.load(Relaxed) != fork::present_generation() && state != CLAIMED;
        (state == FREE || abandoned) && self.state.compare_exchange(state, CLAIMED, Acquire, Relaxed).is_ok()
    }

    /// Says that this thread is about to take the lock by this handle.
    #[inline]
    pub(crate) fn used_by(&self, thread: u32) {
        // Partner: `is_held_by`, `for_each_held`. Relaxed: they judge by the owner word.
        self.thread.store(thread, Relaxed);
    }

    /// Keeps the handle's region mapped until the state is counted down again; `false` if no handle is open here.
    fn pin(&self) -> bool {
        // Pairs with `enter` (all of the slot is visible), and keeps `retire` waiting.
        self.state.fetch_update(Acquire, Relaxed, |state| (state >= LIVE).then(|| state + 1)).is_ok()
    }

    /// Takes the handle out, before its region is unmapped. Waits for whoever looks at the owner word right now.
    pub(crate) fn retire(&self) {
        // Pairs with the end of the loop in `for_each`: whoever looked has finished.
        while self.state.compare_exchange(LIVE, CLAIMED, AcqRel, Relaxed).is_err() {
            std::thread::yield_now();
        }
        self.word.store(std::ptr::null_mut(), Relaxed);
        self.state.store(FREE, Release); // pairs with `claim`
    }

    fn is_held_by(&self, owner: Token, identity: Identity, thread: u32) -> bool {
        // Pairs with `enter`. A slot that changes meanwhile has another token.
        self.state.load(Acquire) >= LIVE
            && self.generation.load(Relaxed) == fork::present_generation()
            && self.token.load(Relaxed) == owner.get()
            && self.thread.load(Relaxed) == thread
            && (self.device.load(Relaxed), self.inode.load(Relaxed)) == identity.numbers()
    }
}

/// Whether the handle `owner` on this file is one that this thread took the lock by. Async-signal-safe.
pub(crate) fn held_by_this_thread(owner: Token, identity: Identity) -> bool {
    let thread = this_thread();
    slots().any(|slot| slot.is_held_by(owner, identity, thread))
}

/// A handle that is open in this process, with its owner word kept valid for as long as this value is borrowed.
pub(crate) struct Pinned {
    pub(crate) word: *const AtomicU32,
    pub(crate) token: Token,
    pub(crate) fence: FenceScope,
    pub(crate) thread: u32,
}

/// Runs `look` on each open handle of this process. Async-signal-safe if `look` is.
///
/// The word is valid while `look` runs. A handle that is being entered or removed right now is passed over.
pub(crate) fn for_each(mut look: impl FnMut(&Pinned)) {
    for slot in slots() {
        if !slot.pin() {
            continue;
        }
        let ours = slot.generation.load(Relaxed) == fork::present_generation();
        if let (true, Some(token)) = (ours, Token::living(slot.token.load(Relaxed))) {
            let fence = match slot.full_system.load(Relaxed) {
                0 => FenceScope::InnerShareable,
                _ => FenceScope::FullSystem,
            };
            look(&Pinned { word: slot.word.load(Relaxed), token, fence, thread: slot.thread.load(Relaxed) });
        }
        slot.state.fetch_sub(1, Release); // pairs with `retire`: we have finished looking
    }
}
