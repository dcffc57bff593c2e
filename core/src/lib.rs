//! A lock over any memory that two parties share, without an operating system.
//!
//! One 32-bit **owner word** names the owner of the lock. A contender acquires the lock by moving
//! the word from *free* to its own [`Token`] with a compare-and-swap, and releases it by moving
//! the word back to *free*. The parties may be processes on one file, two cores of different kinds
//! on one SRAM bank, or two tasks on one static. They need to agree only on the 128 bytes described
//! in [`layout`], and every byte pattern in them has a defined meaning.
//!
//! # Where to begin
//!
//! * [`RegionLock`] locks something from firmware. It takes a region, a static token, and a way of
//!   waiting.
//! * [`TicketLock`] does the same in memory on which compare-and-swap does not work between the
//!   parties.
//! * [`roll`] counts the boots of cores, so that the restart of one proves its death to the others.
//! * [`protocol`] has the steps for another kind of lock, and [`contend`] the loop around them. The
//!   crate `shmlock` adds names, recovery proven by the kernel, and futex waiting on Linux.
//! * [`snapshot`] reads a lock that can be copied but not mapped, for example over a debug probe.
//! * `PROTOCOL.md`, beside this crate's sources, specifies the protocol for an implementation in
//!   another language.
//!
//! # What it does not do
//!
//! It knows no clock, and only a [`TicketLock`] keeps an order among waiters. It cannot tell by
//! itself whether an owner is dead: that knowledge comes through [`Liveness`](contend::Liveness),
//! from outside or from the [`roll`]. By default every owner is held to be alive.
//!
//! It is not a `lock_api::RawMutex`. Such a mutex is one constant value, and nothing tells its
//! users apart; here each contender has a [`Token`], so that its death is told from another's. A
//! mutex keeps its data inside itself, in this program's memory; here the lock and the data lie
//! where two programs agreed to put them.
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
    "shmlock-core: the region consists of little-endian 32-bit words, and its byte fields are \
     packed into them; a big-endian target would disagree with its peers about the same bytes"
);

// From the ground up; each module uses only those before it:
// sync, barrier, fence, layout, ticket/{layout, words}, token, word, error, region, protocol, wait,
// contend, record/{mod, encoded, access}, counters, snapshot,
// roll/{boot, words, mod, memory, resume, liveness}, epoch_region,
// lock/{hold_count, disturbed, mod, boot, change, guard}, wait_async,
// ticket/{region, steps, probes, contend, change, mod, guard}.
mod barrier;
pub mod contend;
mod counters;
mod epoch_region;
pub mod error;
pub mod fence;
pub mod layout;
pub mod lock;
pub mod protocol;
pub mod record;
pub mod region;
pub mod roll;
#[cfg(not(loom))]
pub mod snapshot;
mod sync;
pub mod ticket;
pub mod token;
pub mod wait;
#[cfg(feature = "embedded-hal-async")]
pub mod wait_async;
pub mod word;

pub use epoch_region::EpochRegion;
pub use error::Error;
pub use fence::{Fence, FenceScope};
pub use lock::RegionLock;
pub use lock::guard::RegionGuard;
pub use record::encoded::EncodedRecord;
pub use record::{Description, Holder, Record};
pub use region::{Region, RegionMemory};
pub use sync::AtomicU32;
pub use ticket::{TicketGuard, TicketLock, TicketMemory, TicketRegion};
pub use token::Token;
pub use word::Word;

/// The `heapless` crate in the version whose string is a [`Description`].
pub use heapless;
/// The `uuid` crate in the version whose types this crate's interface uses.
pub use uuid;

/// Compiles the examples of the page beside the sources.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
