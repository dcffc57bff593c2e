//! The lock: names, the protocol and waiting put together.
//!
//! `handle.rs` is what a contender knows of its lock. `acquire.rs` and `release.rs` have the public
//! calls and the undisturbed path, `contend.rs` what happens when another handle holds the lock.

mod acquire;
mod begin_wait;
pub(crate) mod builder;
mod check;
mod contend;
pub(crate) mod future;
pub(crate) mod guard;
pub(crate) mod handle;
mod hold_count;
mod hold_time;
mod lifeline;
mod look;
mod record;
mod recovery;
mod release;
pub(crate) mod settings;
