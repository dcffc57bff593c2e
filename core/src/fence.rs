//! The two fences of the protocol, and how far they reach.
//!
//! The owner word is moved by *relaxed* compare-and-swap; what orders the protected data around it
//! are two explicit fences. [`Fence::acquire`] stands between the swap that took the lock and
//! the first access of the section; [`Fence::release`] stands between the last access of the
//! section and the swap that gives the lock back. The former in one owner pairs with the latter in
//! the owner before it.
//!
//! | scope | AArch64 taking / giving | ARMv7-A | ARMv7-M, v8-M | x86-64 |
//! |---|---|---|---|---|
//! | [`InnerShareable`] | `dmb ishld` / `dmb ish` | `dmb ish` | `dmb sy` | none needed |
//! | [`FullSystem`] | `dmb sy` | `dmb sy` | `dmb sy` | `mfence` |
//!
//! The scope is a type with inlined bodies, so that the choice costs nothing where it is known, and
//! [`FenceScope`] where it is known only at run time.

#![allow(
    clippy::disallowed_methods,
    reason = "the one file that calls `fence`; everybody else calls these two"
)]

use crate::barrier;
use crate::sync::{Ordering, fence};

/// The two fences of one scope.
///
/// Other crates may implement it, for barriers that this one does not know. An implementation that
/// orders less than its parties need loses what the lock protects, without undefined behaviour in
/// this crate. It runs while the lock changes hands, so it does nothing else: a handle that it
/// calls answers [`Error::InUse`](crate::Error::InUse).
pub trait Fence: Copy {
    /// Keeps the accesses of the section after the swap that took the lock.
    fn acquire(self);
    /// Keeps the accesses of the section before the swap that gives the lock back.
    fn release(self);
}

/// For parties in one coherent domain: the cores that run one operating system, the tasks of one
/// core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct InnerShareable;

/// For memory shared with other bus masters: another cluster, a Cortex-M beside a Cortex-A, a DSP.
///
/// It orders; it does not clean caches. The memory must be mapped non-cacheable or kept coherent by
/// hardware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FullSystem;

/// A scope chosen at run time: one well-predicted branch per fence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum FenceScope {
    /// See [`InnerShareable`].
    #[default]
    InnerShareable,
    /// See [`FullSystem`].
    FullSystem,
}

impl Fence for InnerShareable {
    #[inline]
    fn acquire(self) {
        // Pairs with the `release` of the previous owner: its section is visible in ours.
        fence(Ordering::Acquire);
    }

    #[inline]
    fn release(self) {
        // Pairs with the `acquire` of the next owner: our section is visible in its.
        fence(Ordering::Release);
    }
}

impl Fence for FullSystem {
    #[inline]
    fn acquire(self) {
        // Pairs as above; also against observers outside the inner-shareable domain.
        barrier::full_system();
    }

    #[inline]
    fn release(self) {
        // Pairs as above; also against observers outside the inner-shareable domain.
        barrier::full_system();
    }
}

impl Fence for FenceScope {
    #[inline]
    fn acquire(self) {
        match self {
            Self::InnerShareable => InnerShareable.acquire(),
            Self::FullSystem => FullSystem.acquire(),
        }
    }

    #[inline]
    fn release(self) {
        match self {
            Self::InnerShareable => InnerShareable.release(),
            Self::FullSystem => FullSystem.release(),
        }
    }
}
