//! Selects where the atomics, the fence and the spin hint come from.
//!
//! A target with compare-and-swap uses the compiler's own type, which futex(2) takes as well. A
//! Cortex-M0 has atomic loads and stores but no compare-and-swap, and uses `portable-atomic`'s.
//! Under `cfg(loom)` all three are the model checker's, so that the models in `tests/loom` run this
//! very code.

#[cfg(all(target_has_atomic = "32", not(loom)))]
pub use core::sync::atomic::AtomicU32;
#[cfg(loom)]
pub use loom::sync::atomic::AtomicU32;
#[cfg(not(any(target_has_atomic = "32", loom)))]
pub use portable_atomic::AtomicU32;

#[cfg(not(loom))]
pub(crate) use core::{hint::spin_loop, sync::atomic::fence};
#[cfg(loom)]
pub(crate) use loom::{hint::spin_loop, sync::atomic::fence};

pub(crate) use core::sync::atomic::Ordering::{self, Relaxed};
