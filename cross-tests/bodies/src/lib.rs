//! Tests one lock by several members at the same time.
//!
//! A body knows the number of [`Member`]s, its own member, and a barrier. Members are cores or
//! tasks in `cross-tests/bare`, and threads in this crate's own test. A body panics on a failure;
//! the platform makes it an exit code or a failed test.
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
