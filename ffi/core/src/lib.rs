//! `shmlock-core` for C. `include/shmlock_core.h` is made from this crate by `cbindgen`; the comments
//! there stand here.
//!
//! Like the core it needs no operating system and no allocator. A handle is memory of the caller's;
//! what is checked at the border, and what the caller has to promise, is the same for all functions
//! and stands at [`handle::Handle`].
//!
//! | file | its question |
//! |---|---|
//! | [`status`] | what can a call answer? |
//! | `pointer` | what may be done with an address that C gives? |
//! | [`handle`] | what is a handle, and who may use it when? |
//! | [`attach`] | how does memory become a lock, and a handle one of its contenders? |
//! | [`acquire`] | how is the lock taken, and by which way of waiting? |
//! | [`hold`] | what can be done with a lock that one holds? |
//! | [`record`] | who holds it? |
//! | [`fork`] | how does a handle notice that it is in a forked child? |

#![no_std]

// A program needs one panic handler: without unwinding this crate's own, otherwise that of std. See
// Cargo.toml.
#[cfg(not(panic = "abort"))]
extern crate std;

#[cfg(not(target_has_atomic = "32"))]
use portable_atomic as _; // only for the features that the final build gives it

// In the order of the header.
pub mod status;

pub mod handle;

pub mod fence_scope;

pub mod attach;

pub mod fork;

pub mod acquire;

pub mod hold;

pub mod record;

#[cfg(panic = "abort")]
mod panic;
mod pointer;
