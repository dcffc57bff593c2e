//! What several cores do to one lock at once, and what must be true afterwards.
//!
//! The bodies know three things: how many [`Member`]s there are, which of them runs, and a barrier.
//! The members are cores in `cross-tests/bare`, tasks on one core there as well, and threads in
//! this crate's own test. A body panics when something does not hold; what a panic means (an exit
//! code, a failed test) is the platform's business.
//!
//! ```
//! use shmlock_bodies::{Arena, BODIES};
//!
//! static ARENA: Arena = Arena::new();
//!
//! let mut only = ARENA.member(0, 1, core::hint::spin_loop);
//! for body in &BODIES {
//!     (body.run)(&mut only, 100);
//! }
//! only.leave();
//! ```

#![no_std]

mod arena;
mod bodies;
mod broken;
mod exclusion;
mod ledger;

pub use arena::{Arena, MEMBERS_MAX, Member};
pub use bodies::{BODIES, Body};
pub use exclusion::control;
