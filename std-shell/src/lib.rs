//! A lock between processes, known only by its name.
//!
//! Any program that says `ShmLock::open("conveyor")` shares it: there is no object to pass, no
//! server to run and no lock file to clean up, and it survives `kill -9` of its holder.
//!
//! ```
//! use std::time::Duration;
//! use shmlock::ShmLock;
//!
//! let lock = ShmLock::open("doc-crate")?;
//!
//! let guard = lock.lock()?; // waits as long as it takes
//! drop(guard); // free again
//!
//! if let Some(_guard) = lock.try_lock()? { /* did not wait */ }
//!
//! match lock.try_lock_for(Duration::from_secs(1)) {
//!     Ok(_guard) => { /* waited at most a second */ }
//!     Err(error) if error.is_timed_out() => eprintln!("{error}"), // names the holder
//!     Err(error) => return Err(error),
//! }
//! # Ok::<(), shmlock::Error>(())
//! ```
//!
//! Data that belongs to a lock can live beside it, see `SharedBlock` (feature `block`); tasks wait
//! by [`ShmLock::lock_async`].
//!
//! # How it works
//!
//! The lock is one word in 192 bytes of shared memory, `/dev/shm/conveyor.shmlock`; see
//! `shmlock_core` for the protocol. Uncontended, taking it and giving it back are two atomic
//! instructions and no system call. Who waits sleeps in the kernel's futex. That an owner is alive
//! is proven by a lock on one byte of that file, which the kernel drops with the owner's memory, by
//! whatever death; so no clock, no heartbeat and no process id decides.
//!
//! # Limits
//!
//! * **No order among waiters**, no priority inheritance, no readers–writer lock, no network file
//!   systems.
//! * **A dead owner is noticed within one poll interval** (50 ms) of the moment its process is
//!   gone, which the kernel takes 0.1 to 0.3 s per GiB of its memory to bring about; a core dump
//!   takes longer.
//! * **Do not remove the file** of a lock in use: the old users and the new would hold two locks.
//!   Waiters notice ([`Error::Orphaned`]), holders do not. systemd-logind does so to `/dev/shm`
//!   files of a user who logs out, unless `RemoveIPC=no`; use a system user or
//!   [`Builder::directory`].
//! * **Whoever may write the file** may take the lock, corrupt it, or truncate it: the kernel then
//!   kills users by SIGBUS. They cannot make this crate panic or run undefined behaviour.
//! * **Checkpoint and restore** (CRIU) loses the proof of life: drop the handles first.
//! * Linux 4.14 or later, 32 and 64 bit, little-endian.
//!
//! When another lock is the better one stands in `docs/which-lock.md` of the repository; how
//! programs with the Python package move here, in `docs/from-python.md`.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(any(target_os = "linux", target_os = "android")))]
compile_error!(
    "shmlock needs Linux: byte locks of open file descriptions, futexes and tmpfs. shmlock-core runs anywhere"
);

#[cfg(feature = "block")]
mod block;
mod error;
mod holder;
mod identity;
mod inspect;
mod layout;
mod lock;
#[cfg(feature = "logger")]
mod logger;
mod name;
mod process;
mod shm;
mod sys;
mod tell;
mod wait;

#[cfg(feature = "block")]
pub use block::{BlockGuard, SharedBlock};
pub use error::{Error, NotALockReason, Result};
pub use holder::{Holder, Recovered};
pub use identity::liveness::OwnerState;
pub use inspect::clean::{CleanOutcome, DeadOwner, DiedFlag};
pub use inspect::external::Inspection;
pub use inspect::list::{exit_events, exit_events_in, list, list_in};
pub use inspect::statistics::Statistics;
pub use inspect::status::{LockState, LockStatus};
pub use layout::header::{BlockLayout, SCHEMA_MAX};
pub use lock::builder::{Builder, FenceScope};
pub use lock::future::LockFuture;
pub use lock::guard::Guard;
pub use lock::handle::ShmLock;
pub use lock::settings::{DEFAULT_OPEN_TIMEOUT, DEFAULT_POLL_INTERVAL};
#[cfg(feature = "logger")]
pub use logger::{Line, Logger};
pub use name::{InvalidNameReason, NAME_MAX};
pub use process::exit::ExitHandlers;
pub use sys::signal_mask::BlockSignals;
pub use wait::WaitStrategy;
pub use wait::exit_event::{EventInspection, ExitEvent};

/// The error numbers in [`Error::errno`], in the version of `rustix` whose type they are.
pub use rustix::io::Errno;
/// The `uuid` crate in the version whose types this crate's interface uses.
pub use uuid;
/// The `zerocopy` crate in the version whose traits [`SharedBlock`] asks for.
#[cfg(feature = "block")]
pub use zerocopy;

/// The README's code is compiled and run with the documentation tests.
#[cfg(all(doctest, feature = "block"))]
#[doc = include_str!("../../README.md")]
struct Readme;

/// So is that of the page for those who come from Python.
#[cfg(doctest)]
#[doc = include_str!("../../docs/from-python.md")]
struct FromPython;
