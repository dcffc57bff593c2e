//! Proves deaths by the roll.

use super::Roll;
use crate::contend::Liveness;
use crate::fence::{Fence, InnerShareable};
use crate::token::Token;

/// Proof of death by the boot counters of a [`Roll`]: an owner is dead if its core has begun
/// another boot, or if its supervisor has declared its boot over.
///
/// **For handles of an [`EpochRegion`](crate::EpochRegion) only**: a plain static token from 1024
/// on reads as that of a boot, and its living owner may look dead.
/// [`RegionLock`](crate::RegionLock) refuses the proof in a plain region; callers of
/// [`acquire_contended`](crate::contend::acquire_contended) see to it themselves. Owners of another
/// kind, such as processes of the Linux shell, count as alive.
///
/// The proof holds until the token comes back, 1024 boots of that core later. It needs nothing to
/// be held meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct BootLiveness<'a, F: Fence = InnerShareable> {
    roll: Roll<'a, F>,
}

impl<'a, F: Fence> BootLiveness<'a, F> {
    /// Returns the proof by this roll.
    #[must_use]
    pub const fn new(roll: Roll<'a, F>) -> Self {
        Self { roll }
    }
}

impl<F: Fence> Liveness for BootLiveness<'_, F> {
    const JUDGES_BOOTS: bool = true;

    fn while_dead<R>(&mut self, owner: Token, act: impl FnOnce() -> R) -> Option<R> {
        self.roll.is_over(owner).then(act)
    }
}
