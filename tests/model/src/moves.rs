//! Describes one move of the world, and the rules by which it moves.

use crate::bounds::Bounds;
use crate::breach::Breach;
use crate::flaw::{Flaw, Flaws};
use crate::place::Place;
use crate::world::World;

/// The rules of a search: the bounds, and the protocol with its flaws.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) bounds: Bounds,
    pub(crate) flaws: Flaws,
}

impl Rules {
    /// Returns the first step of closing.
    pub(crate) fn first_of_closing(&self) -> Place {
        let early =
            self.flaws.has(Flaw::JudgeBeforeUnmap) || self.flaws.has(Flaw::UpgradeBeforeUnmap);
        if early { Place::JudgeEarly } else { Place::Unmap }
    }
}

/// The event of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Step(Place),
    Spurious,
    Killed,
    Stopped,
    Leaked,
    ExitHandler,
    Removed,
    Exchanged,
}

impl Action {
    /// Returns `true` if it is no part of the protocol, so that no process may have to wait for it.
    pub(crate) fn is_fault(self) -> bool {
        !matches!(self, Self::Step(_) | Self::Spurious)
    }
}

/// One move of the world.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Move {
    pub(crate) who: usize,
    pub(crate) action: Action,
    pub(crate) world: World,
    pub(crate) breach: Option<Breach>,
}
