//! A lock over any memory that two parties share, without an operating system.
//!
//! One 32-bit **owner word** says who holds the lock. Whoever moves it from *free* to its own
//! [`Token`] by compare-and-swap holds the lock; giving it back moves it to *free* again. The two
//! parties may be processes on one file, two cores of different kinds on one SRAM bank, or two
//! tasks on one static: they need to agree only on the 128 bytes described in [`layout`], and every
//! byte pattern in them has a defined answer.
//!
//! # Where to begin
//!
//! * To lock something from firmware, take [`RegionLock`]: a region, a fixed token, a way of
//!   waiting.
//! * To build another kind of lock, take the steps themselves from [`protocol`], and [`contend`]
//!   for the loop around them. The crate `shmlock` does so to give names, kernel-proven recovery
//!   and futex waiting on Linux.
//! * To look at a lock that can be copied but not mapped, over a debug probe for example, take
//!   [`snapshot`].
//! * To write an implementation in another language, read `PROTOCOL.md` beside this crate's
//!   sources.
//!
//! # What it does not do
//!
//! It keeps no order among waiters, it knows no clock, and it cannot tell by itself whether an
//! owner is dead: that knowledge comes from outside, through [`Liveness`](contend::Liveness). By
//! default nobody is ever taken for dead.
//!
//! It is no `lock_api::RawMutex`, and offers none: such a mutex is one constant value that all its
//! users share and that tells them apart by nothing, while here each contender brings a [`Token`],
//! so that its death can be told from another's. And it keeps its data inside itself, in this
//! program's memory, while here the lock and what it protects lie where two programs agreed that
//! they do.
//!
//! # Example
//!
//! ```
//! use core::num::NonZeroU16;
//! use shmlock_core::{Region, RegionLock, RegionMemory, wait::Spin};
//!
//! static SHARED: RegionMemory = RegionMemory::new();
//! const THIS_CORE: NonZeroU16 = NonZeroU16::new(1).unwrap();
//!
//! let lock = RegionLock::new(Region::from_static(&SHARED)?, THIS_CORE);
//! let guard = lock.lock(&mut Spin::attempts(1_000))?;
//! assert!(!guard.owner_died());
//! drop(guard);
//! # Ok::<(), shmlock_core::Error>(())
//! ```
//!
//! # Targets
//!
//! Any little-endian target with 32-bit atomics. Cores without compare-and-swap (Cortex-M0) take it
//! from `portable-atomic`: name that crate in the final program with one of its features
//! `critical-section` or `unsafe-assume-single-core`.

#![cfg_attr(not(loom), no_std)] // loom needs threads
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(target_endian = "little"))]
compile_error!(
    "shmlock-core: the region is defined as little-endian 32-bit words, and its byte fields are packed into them; \
     a big-endian target would disagree with its peers about the same bytes"
);

pub mod contend;
mod encoded;
pub mod error;
pub mod fence;
pub mod layout;
pub mod lock;
pub mod protocol;
pub mod record;
pub mod region;
#[cfg(not(loom))]
pub mod snapshot;
pub mod statistics;
pub mod token;
pub mod wait;
#[cfg(feature = "embedded-hal-async")]
pub mod wait_async;
pub mod word;

mod barrier;
mod sync;

pub use encoded::EncodedRecord;
pub use error::Error;
pub use fence::{Fence, FenceScope};
pub use lock::{RegionGuard, RegionLock};
pub use record::{Description, Holder, Record};
pub use region::{Region, RegionMemory};
pub use sync::AtomicU32;
pub use token::Token;
pub use word::Word;

/// The `uuid` crate in the version whose types this crate's interface uses.
pub use uuid;
