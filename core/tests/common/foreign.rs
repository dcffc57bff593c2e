//! Lists every place where a call of `RegionLock` runs foreign code, and runs a callback at one of
//! them.

use core::cell::{Cell, RefCell};

use shmlock_core::contend::Liveness;
use shmlock_core::fence::InnerShareable;
use shmlock_core::wait::{Spin, WaitAction, WaitContext};
use shmlock_core::{Error, Fence, Record, RegionLock, Token};

use super::records::derived;
use super::{ProofBy, RawMemory, WaitBy, number, probing};

/// A handle whose fences are foreign code.
pub(crate) type Lock = RegionLock<'static, ForeignFence>;

/// The token of the handle, and of another contender.
pub(crate) const ME: u32 = 1;
pub(crate) const OTHER: u32 = 2;

/// Where foreign code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In `Wait::wait`, while another holds the lock.
    Waiting,
    /// In `Liveness::while_dead`, before it runs `act`.
    Probing,
    /// In `Liveness::while_dead`, after it has run `act`: the word names the handle.
    Recovered,
    /// In `Fence::acquire`: the word names the handle.
    Acquired,
    /// In `Fence::release`, while the record is written: the word names the handle.
    Recording,
    /// In `Fence::release`, while the lock is released: the word still names the handle.
    Releasing,
}

pub(crate) const PLACES: [Place; 6] = [
    Place::Waiting,
    Place::Probing,
    Place::Recovered,
    Place::Acquired,
    Place::Recording,
    Place::Releasing,
];

impl Place {
    /// Returns `true` if the call through this place leaves the lock held.
    pub(crate) fn leaves_it_held(self) -> bool {
        matches!(self, Self::Recovered | Self::Acquired | Self::Recording)
    }
}

type Callback = Box<dyn FnOnce()>;

thread_local! {
    static CALLBACK: RefCell<Option<(Place, Callback)>> = const { RefCell::new(None) };
    static RELEASING: Cell<bool> = const { Cell::new(false) };
}

/// Runs the callback once, if this is its place.
fn reach(place: Place) {
    let callback = CALLBACK.with_borrow_mut(|callback| callback.take_if(|(at, _)| *at == place));
    if let Some((_, callback)) = callback {
        callback();
    }
}

/// Orders as the fences of one coherent domain do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ForeignFence;

impl Fence for ForeignFence {
    fn acquire(self) {
        InnerShareable.acquire();
        reach(Place::Acquired);
    }

    fn release(self) {
        InnerShareable.release();
        reach(if RELEASING.get() { Place::Releasing } else { Place::Recording });
    }
}

/// Proves every owner dead.
struct AssumeDead;

impl Liveness for AssumeDead {
    fn while_dead<R>(&mut self, _owner: Token, act: impl FnOnce() -> R) -> Option<R> {
        let result = act();
        reach(Place::Recovered);
        Some(result)
    }
}

/// Clears the memory to a free lock, and returns the handle `ME`, which has a record to write.
pub(crate) fn handle(memory: &'static RawMemory) -> Lock {
    memory.put(0, &[0; 128]);
    RegionLock::with_fence(memory.region(), number(1), ForeignFence).with_record(record())
}

pub(crate) fn record() -> Record {
    derived(0).1
}

/// Registers the callback for this place.
pub(crate) fn run_at(place: Place, callback: impl FnOnce() + 'static) {
    CALLBACK.set(Some((place, Box::new(callback))));
}

/// Returns `true` if the callback has run.
pub(crate) fn has_run() -> bool {
    CALLBACK.with_borrow(Option::is_none)
}

/// Makes the call that runs through this place, with another owner where that is needed.
pub(crate) fn call_through(place: Place, lock: &Lock, memory: &RawMemory) -> Result<(), Error> {
    RELEASING.set(false);
    match place {
        Place::Waiting => {
            memory.set(0, OTHER);
            let wait = |_: &mut WaitContext<'_>| {
                reach(Place::Waiting);
                WaitAction::GiveUp
            };
            lock.acquire(&mut WaitBy(wait))
        }
        Place::Probing => {
            memory.set(0, OTHER);
            let proof = |_| {
                reach(Place::Probing);
                false
            };
            lock.acquire_or_recover(&mut probing(1), &mut ProofBy(proof))
        }
        Place::Recovered => {
            memory.set(0, OTHER);
            lock.acquire_or_recover(&mut probing(1), &mut AssumeDead)
        }
        Place::Acquired | Place::Recording => lock.acquire(&mut Spin::attempts(0)),
        Place::Releasing => {
            lock.acquire(&mut Spin::attempts(0)).expect("free");
            RELEASING.set(true);
            lock.release()
        }
    }
}
