//! Defines the fences of the protocol, and their scopes.
//!
//! Compare-and-swaps on the owner word are *relaxed*; two explicit fences order the protected data
//! around them. [`Fence::acquire`] stands between the acquiring swap and the first access of the
//! critical section; [`Fence::release`] stands between its last access and the releasing swap. The
//! former in one owner pairs with the latter in the owner before it.
//!
//! The ticket lock, which has no compare-and-swap, needs a third one: [`Fence::full`] stands
//! between a store to the own line and the loads of the others'.
//!
//! Called in:
//!
//! * `protocol.rs`: the owner word;
//! * `record/access.rs`: the record;
//! * `counters.rs`: the halves of the generation;
//! * `snapshot.rs`: one copy after the other;
//! * `roll/mod.rs`: the boots;
//! * `ticket/steps.rs`: the lines of the parties;
//! * `ticket/region.rs`: burials, looks at deaths, and the magic word by the barrier itself;
//! * of the crate `shmlock`, `layout/header.rs`: whether the data is created;
//!   `process/registry.rs`: which thread uses a handle, before the owner word;
//!   `remote/remoteproc.rs`: the state of a processor, after the memory.
//!
//! | scope | AArch64 acquire / release, full | ARMv7-A | ARMv7-M, v8-M | x86-64 |
//! |---|---|---|---|---|
//! | [`InnerShareable`] | `dmb ishld` / `dmb ish` | `dmb ish` | `dmb sy` | none; full: `mfence` |
//! | [`FullSystem`] | `dmb sy` | `dmb sy` | `dmb sy` | `mfence` |
//!
//! A scope is a type with inlined bodies: the choice costs nothing where it is known at compile
//! time. [`FenceScope`] is the scope chosen at run time.

#![allow(
    clippy::disallowed_methods,
    reason = "the one file that calls `fence`; all other code calls these functions"
)]

use crate::barrier;
use crate::sync::{Ordering, fence};

/// The fences of one scope.
///
/// Other crates may implement it, for barriers that this crate does not know. An implementation
/// that orders less than its parties need corrupts the protected data, without undefined behaviour
/// in this crate. It runs while the lock changes hands, and does nothing else: a handle that it
/// calls returns [`Error::InUse`](crate::Error::InUse).
pub trait Fence: Copy {
    /// Keeps the accesses of the critical section after the acquiring swap.
    fn acquire(self);
    /// Keeps the accesses of the critical section before the releasing swap.
    fn release(self);

    /// Keeps all accesses before it before all accesses after it, a load after a store included.
    /// Only the ticket lock needs it. By default, the barrier of the full system.
    #[inline]
    fn full(self) {
        // Pairs with `full` of another party: of two that store and then load, one sees the other.
        barrier::full_system();
    }
}

/// The fences for parties in one coherent domain: the cores that run one operating system, the
/// tasks of one core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct InnerShareable;

/// The fences for memory shared with other bus masters: another cluster, a Cortex-M beside a
/// Cortex-A, a DSP.
///
/// They order accesses; they do not clean caches. The memory must be mapped non-cacheable or kept
/// coherent by hardware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FullSystem;

/// A scope chosen at run time: one well-predicted branch per fence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
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
        // Pairs with `release` of the previous owner: its critical section is visible in ours.
        fence(Ordering::Acquire);
    }

    #[inline]
    fn release(self) {
        // Pairs with `acquire` of the next owner: our critical section is visible in its own.
        fence(Ordering::Release);
    }

    #[inline]
    fn full(self) {
        // Pairs with `full` of another party: of two that store and then load, one sees the other.
        fence(Ordering::SeqCst);
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

    #[inline]
    fn full(self) {
        match self {
            Self::InnerShareable => InnerShareable.full(),
            Self::FullSystem => FullSystem.full(),
        }
    }
}
