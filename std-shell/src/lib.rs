//! A lock between processes, known only by its name.
//!
//! Every program on the machine that calls `ShmLock::open("conveyor")` shares the lock. There is no
//! object to pass, no server to run and no lock file to clean up. The lock survives `kill -9` of
//! its owner: the next owner acquires it and is told of the death.
//!
//! ```
//! use std::time::Duration;
//! use shmlock::ShmLock;
//!
//! let lock = ShmLock::open("doc-crate")?;
//!
//! let guard = lock.lock()?; // waits without a limit
//! drop(guard); // releases
//!
//! if let Some(_guard) = lock.try_lock()? { /* did not wait */ }
//!
//! match lock.try_lock_for(Duration::from_secs(1)) {
//!     Ok(_guard) => { /* waited at most a second */ }
//!     Err(error) if error.is_timed_out() => eprintln!("{error}"), // names the owner
//!     Err(error) => return Err(error),
//! }
//! # Ok::<(), shmlock::Error>(())
//! ```
//!
//! # Where to begin
//!
//! * [`ShmLock`] has the calls that acquire, release and inspect; [`Guard`] releases on drop.
//! * [`Builder`] sets the poll interval, a description, file mode and directory, and the rest.
//! * [`ShmLock::lock_async`] waits in a task.
//! * `SharedBlock` (feature `block`) keeps typed data beside a lock, under the same name.
//! * [`ExitHandlers`] release the locks of a process that exits or dies by a signal.
//! * [`list`] and [`Builder::inspect`] show locks of other processes.
//! * `remote` (feature `remote`) has locks in memory that other processors share: firmware, a DSP.
//!
//! # How it works
//!
//! The lock is one word in 192 bytes of shared memory, `/dev/shm/conveyor.shmlock`. The crate
//! `shmlock_core` has its protocol. An uncontended acquire and release are two atomic instructions
//! and no system call; a waiter sleeps on the kernel's futex.
//!
//! An owner proves its liveness by a lock on one byte of the file. The kernel drops that lock with
//! the owner's memory, after any death. No clock, no heartbeat and no process id decides.
//!
//! # Limits
//!
//! * **No order among waiters**, no priority inheritance, no readers–writer lock, no network file
//!   systems.
//! * **A waiter notices a death when the kernel has freed the owner's memory**: an event wakes it.
//!   For a process of many gigabytes, or one that dumps core, that moment comes late. Where no
//!   process can watch, it takes up to a second more; [`Builder::poll_interval`] says when.
//! * **A process that waits has a thread that watches** (`shmlock-watch`), from one millisecond of
//!   waiting on until a second or two after its last wait. It blocks all signals. While two other
//!   processes watch, the only waiter of a process does without it, until five seconds after the
//!   lock has changed hands.
//! * **Do not remove the file** of a lock in use: old and new users would hold two locks. Waiters
//!   notice ([`Error::Orphaned`]), owners do not. systemd-logind removes the files of a user in
//!   `/dev/shm` at logout, unless `RemoveIPC=no`: use a system user or [`Builder::directory`].
//! * **A process that may write the file** may take the lock, corrupt it, or truncate it: then its
//!   users die by SIGBUS. It cannot cause a panic or undefined behaviour in this crate.
//! * **Checkpoint and restore** (CRIU) loses the proof of liveness: drop all handles before.
//! * Linux 4.14 or later, 32 and 64 bit, little-endian.
//!
//! In the repository, `docs/which-lock.md` says when another lock is the better choice, and
//! `docs/from-python.md` helps programs move here from the Python package.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(not(any(target_os = "linux", target_os = "android")))]
compile_error!(
    "shmlock needs Linux: byte locks of open file descriptions, futexes and tmpfs. \
     shmlock-core runs anywhere"
);

// The folders from the ground up. A folder uses only those that stand before it in this list:
//
// sys       clocks, futexes, byte locks, signals, forks (calls on files and mappings: shm)
// layout    the bytes of the file and the byte locks on it
// error     what can fail (after `name.rs` and `holder.rs`)
// identity  presence, tokens, liveness
// shm       from a name to mapped memory, and back
// process   the open handles of this process, and their release at its end
// inspect   looking at locks without holding them, and removing what the dead left
// watch     noticing deaths for all waiters of a process
// wait      spinning, sleeping, probing, fairness
// lock      `ShmLock`, its builder and its guard
// block     typed data beside a lock
// remote    memory shared with other processors (of these it uses sys and error alone)
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
#[cfg(feature = "remote")]
pub mod remote;
mod shm;
mod sys;
mod tell;
mod wait;
mod watch;

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
#[doc(hidden)]
pub use sys::fork::process_generation;
pub use sys::signal_mask::BlockSignals;
pub use wait::WaitStrategy;
pub use wait::exit_event::{EventInspection, ExitEvent};
pub use wait::interrupt::WaitPoint;

/// The error number of `rustix` that [`Error::errno`] returns.
pub use rustix::io::Errno;
/// The `uuid` crate in the version that this crate's interface uses.
pub use uuid;
/// The `zerocopy` crate in the version whose traits bound the data of a [`SharedBlock`].
#[cfg(feature = "block")]
pub use zerocopy;

// What may be sent to another thread, and what threads may share.
const _: fn() = || {
    fn is_send<T: Send>() {}
    fn is_sync<T: Sync>() {}
    is_send::<ShmLock>();
    is_send::<ExitEvent>();
    is_sync::<ExitEvent>();
    is_send::<Error>();
    is_sync::<Error>();
    #[cfg(feature = "block")]
    is_send::<SharedBlock<u32>>();
};

/// Compiles and runs the README's code with the documentation tests.
#[cfg(all(doctest, feature = "block"))]
#[doc = include_str!("../../README.md")]
struct Readme;

/// Compiles and runs the code of the page about moving from Python.
#[cfg(doctest)]
#[doc = include_str!("../../docs/from-python.md")]
struct FromPython;
