//! The named lock over several machines, on etcd.
//!
//! A process acquires the lock of the name on its own machine, and only then contends for the
//! fleet. So etcd knows at most one process of each machine, and the queue of a machine costs no
//! network.
//!
//! ```no_run
//! use shmlock_fleet::FleetLock;
//!
//! let members = ["http://10.0.0.7:2379", "http://10.0.0.8:2379", "http://10.0.0.9:2379"];
//! let lock = FleetLock::builder("conveyor", members).open()?;
//! let guard = lock.lock()?;
//! let token = guard.fencing_token(); // for the resource, which refuses smaller ones
//! # let _ = token;
//! guard.release()?; // `Err` if the lock was lost meanwhile
//! # Ok::<(), shmlock_fleet::Error>(())
//! ```
//!
//! # What it cannot prevent
//!
//! **A stopped or partitioned holder cannot be ended in time.** A lease ends while its holder is
//! stopped (`SIGSTOP`, a suspended machine, a long pause of the hypervisor), and another machine
//! acquires the lock. When the first holder goes on, its next instruction may be the write that the
//! lock was to prevent. [`FleetGuard::is_lost`] tells the holder at its next look. That may be too
//! late.
//! Only the resource can refuse: it keeps the greatest [fencing
//! token](FleetGuard::fencing_token) that it has seen, and refuses requests with smaller ones.
//!
//! # How it works
//!
//! * A **lease** of etcd bounds every hold: [`FleetBuilder::ttl`] without a renewal ends it.
//! * The holder is the key under `shmlock/NAME/` with the smallest **create revision**, which is
//!   the fencing token.
//! * A waiter **watches** the key before its own. It does not poll.
//! * The holder has a **deadline of its own**: the instant at which the last successful renewal was
//!   sent, plus the TTL, minus [a margin](FleetBuilder::margin), on `CLOCK_BOOTTIME`. Past it the
//!   lock is lost, whatever a server says.
//! * A loss is an **event**: [`FleetBuilder::loss_event`], [`FleetBuilder::on_loss`].
//!
//! The module `protocol` in the source has the steps, with the answer to a death after each.
//!
//! # Limits
//!
//! * etcd 3.4 or later, by its JSON gateway. In releases before 3.4.31, 3.5.13 and 3.6.0 (etcd's
//!   pull requests 17465, 17425, 16822) a leader that hung may revoke living leases when it goes
//!   on: the lock is then lost before its time. The next renewal notices; until then the token
//!   protects.
//! * In releases before 3.4.42, 3.5.28 and 3.6.9 a linearizable reading may be stale (etcd issue
//!   20418), and with it the reading that confirms a renewal. The token protects.
//! * All endpoints have to be members of one cluster, on all machines. A handle that gets answers
//!   from two refuses them ([`Error::OtherCluster`]), and a holder that finds it late has lost the
//!   lock ([`Loss::OtherCluster`]). No handle notices it while one machine reaches only one cluster
//!   and another machine only the other. To open handles, a cluster that was built anew is another
//!   one.
//! * A lock is not known to etcd's own `etcdctl lock`, and does not exclude it.
//! * A forked child cannot use a handle or a guard of its parent: calls return [`Error::Forked`],
//!   and a drop changes nothing.
//! * Clocks may differ in speed by the ratio of margin to TTL; their time of day has no effect. A
//!   daemon that corrects the time may change that speed by a twelfth (chrony's `maxslewrate`).
//! * A stopped holder keeps the local lock: the other processes of its machine wait for its end.
//!
//! `docs/fleet.md` of the repository has the page for users: sizes of the times, a store that
//! compares tokens, the operation of etcd, faults, errors, and this lock beside others.

#![forbid(unsafe_code)]

// From the ground up. A file uses only those that stand before it in this list:
//
// clock, timer   the time since boot
// loss      why a lock is lost
// protocol, lease_state   the decisions, without network and clock
// names     where a lock's keys lie in etcd
// holder    the owner record in a key's value
// error     what can fail
// endpoint, tls, resolver, transport   one request to one member
// etcd      the calls of etcd, over all members
// access    from addresses, a user and files to a client
// hold, alarm   a lease that threads share; telling of its loss
// inbox, keeper   the thread of a contender: what it is told, how it renews
// session   a hold, and how it ends
// settings, contend   from a lease to the first place
// handoff, call   the caller's side: time limits and exit events
// guard, lock, builder   the interface
// inspect   looking at all locks, and freeing one, without a handle
mod access;
mod alarm;
mod builder;
mod call;
mod clock;
mod contend;
mod endpoint;
mod error;
mod etcd;
mod guard;
mod handoff;
mod hold;
mod holder;
mod inbox;
mod inspect;
mod keeper;
mod lease_state;
mod lock;
mod loss;
#[cfg(test)]
mod model;
mod names;
mod protocol;
mod resolver;
mod session;
mod settings;
mod timer;
mod tls;
mod transport;

pub use builder::FleetBuilder;
pub use error::{Error, Result, Source};
pub use guard::FleetGuard;
pub use holder::FleetHolder;
pub use inspect::{Fleet, FleetAccess, FleetState};
pub use lock::FleetLock;
pub use loss::Loss;
pub use settings::DEFAULT_TTL;

/// The library of the local lock, whose types are part of this interface.
pub use shmlock;

/// Compiles the README's code with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
