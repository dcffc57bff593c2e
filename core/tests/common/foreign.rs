//! Every place in which a call of `RegionLock` runs code that is not the crate's, and a visitor for
//! one of them.

use core::cell::{Cell, RefCell};

use shmlock_core::contend::Liveness;
use shmlock_core::fence::InnerShareable;
use shmlock_core::wait::{Spin, WaitAction, WaitContext};
use shmlock_core::{Error, Fence, Record, RegionLock, Token};

use super::records::derived;
use super::{ProofBy, RawMemory, WaitBy, number, probing};

/// A handle whose fences are foreign code.
pub(crate) type Lock = RegionLock<'static, Visited>;

/// The token of the handle, and of another contender.
pub(crate) const ME: u32 = 1;
pub(crate) const OTHER: u32 = 2;

/// Where foreign code runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In `Wait::wait`, while another holds the lock.
    Waiting,
    /// In `Liveness::while_dead`, before it runs `act`.
    Asked,
    /// In `Liveness::while_dead`, after it has run `act`: the word is ours.
    Proven,
    /// In `Fence::acquire`: the word is ours.
    Taken,
    /// In `Fence::release`, while the record is written: the word is ours.
    Recording,
    /// In `Fence::release`, while the lock is released: the word is still ours.
    Giving,
}

pub(crate) const PLACES: [Place; 6] =
    [Place::Waiting, Place::Asked, Place::Proven, Place::Taken, Place::Recording, Place::Giving];

impl Place {
    /// Whether the call that leads through this place leaves the lock held.
    pub(crate) fn leaves_it_held(self) -> bool {
        matches!(self, Self::Proven | Self::Taken | Self::Recording)
    }
}

type Visitor = Box<dyn FnOnce()>;

thread_local! {
    static VISITOR: RefCell<Option<(Place, Visitor)>> = const { RefCell::new(None) };
    static RELEASING: Cell<bool> = const { Cell::new(false) };
}

/// Runs the visitor, if this is its place. It comes once.
fn visit(place: Place) {
    let visitor = VISITOR.with_borrow_mut(|visitor| visitor.take_if(|(at, _)| *at == place));
    if let Some((_, visitor)) = visitor {
        visitor();
    }
}

/// Orders as the fences of one coherent domain do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visited;

impl Fence for Visited {
    fn acquire(self) {
        InnerShareable.acquire();
        visit(Place::Taken);
    }

    fn release(self) {
        InnerShareable.release();
        visit(if RELEASING.get() { Place::Giving } else { Place::Recording });
    }
}

struct Proven;

impl Liveness for Proven {
    fn while_dead<R>(&mut self, _owner: Token, act: impl FnOnce() -> R) -> Option<R> {
        let result = act();
        visit(Place::Proven);
        Some(result)
    }
}

/// A free lock, and the handle `ME`, which has a record to write.
pub(crate) fn handle(memory: &'static RawMemory) -> Lock {
    memory.put(0, &[0; 128]);
    RegionLock::with_fence(memory.region(), number(1), Visited).with_record(record())
}

pub(crate) fn record() -> Record {
    derived(0).1
}

/// Has the visitor come to this place.
pub(crate) fn send(place: Place, visitor: impl FnOnce() + 'static) {
    VISITOR.set(Some((place, Box::new(visitor))));
}

/// Whether the visitor has come.
pub(crate) fn has_come() -> bool {
    VISITOR.with_borrow(Option::is_none)
}

/// Makes the call that leads through this place, with another as the owner where that is needed.
pub(crate) fn lead_through(place: Place, lock: &Lock, memory: &RawMemory) -> Result<(), Error> {
    RELEASING.set(false);
    match place {
        Place::Waiting => {
            memory.set(0, OTHER);
            let wait = |_: &mut WaitContext<'_>| {
                visit(Place::Waiting);
                WaitAction::GiveUp
            };
            lock.acquire(&mut WaitBy(wait))
        }
        Place::Asked => {
            memory.set(0, OTHER);
            let proof = |_| {
                visit(Place::Asked);
                false
            };
            lock.acquire_or_recover(&mut probing(1), &mut ProofBy(proof))
        }
        Place::Proven => {
            memory.set(0, OTHER);
            lock.acquire_or_recover(&mut probing(1), &mut Proven)
        }
        Place::Taken | Place::Recording => lock.acquire(&mut Spin::attempts(0)),
        Place::Giving => {
            lock.acquire(&mut Spin::attempts(0)).expect("free");
            RELEASING.set(true);
            lock.release()
        }
    }
}
