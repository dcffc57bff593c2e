//! Puts names, the protocol and waiting together: the lock.
//!
//! `fast.rs` is all that an undisturbed `lock()` and the drop of its guard do. Beyond that,
//! `contend.rs` waits (by the loop of core's `contend.rs`), `release.rs` wakes, `recovery.rs`
//! recovers the lock from a dead owner, `poison.rs` refuses a lock whose data may be inconsistent,
//! and `future.rs` waits in tasks. `handle.rs` has the state, `acquire.rs` the public calls.

mod acquire;
mod begin_wait;
pub(crate) mod builder;
mod check;
mod contend;
mod death_notice;
mod dying;
mod fast;
pub(crate) mod future;
pub(crate) mod guard;
pub(crate) mod handle;
mod hold_count;
mod hold_time;
mod lifeline;
mod open;
mod panic_watch;
mod poison;
mod queries;
mod record;
mod recovery;
mod release;
pub(crate) mod settings;
