//! The one place that chooses where atomics come from.
//!
//! A target with compare-and-swap uses the compiler's own type, which is also what Linux's futex call wants to be
//! given. A Cortex-M0 has atomic loads and stores but no compare-and-swap: there it is `portable-atomic`'s.

#[cfg(target_has_atomic = "32")]
pub use core::sync::atomic::AtomicU32;
#[cfg(not(target_has_atomic = "32"))]
pub use portable_atomic::AtomicU32;

pub(crate) use core::sync::atomic::Ordering::Relaxed;
