//! Exports `shmlock-core` to C. `cbindgen` makes `include/shmlock_core.h` from this crate and its
//! comments.
//!
//! Like the core, it needs no operating system and no allocator. A handle lies in the caller's
//! memory. [`handle::Handle`] states what all functions check and what the caller guarantees.
//!
//! | file | contents |
//! |---|---|
//! | [`status`] | results of calls, and their messages |
//! | `pointer` | checked access to addresses from C |
//! | [`handle`] | the handle, and the check of each call on it |
//! | [`fence_scope`] | the two fence scopes as numbers |
//! | [`attach`] | attaching a handle to memory, and detaching it |
//! | [`fork_generation`] | noticing a forked child |
//! | [`acquire`] | acquiring, waiting, recovering |
//! | [`hold`] | calls of an owner |
//! | [`roll`] | boots of cores |
//! | [`record`] | the owner record |
//! | [`ticket_handle`] | the handle of a ticket lock, for each number of parties |
//! | [`ticket`] | attaching a handle to a ticket lock, its lives, and detaching it |
//! | [`proof`] | the proof that a party of a ticket lock is dead |
//! | [`ticket_acquire`] | acquiring a ticket lock, waiting, recovering |
//! | [`ticket_hold`] | calls of an owner of a ticket lock |
//! | [`ticket_record`] | the owner record of a ticket lock |
//! | [`bury`] | burying a dead party of a ticket lock |

#![no_std]

// A program needs one panic handler: this crate's without unwinding, std's otherwise. See
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

mod fork;
pub mod fork_generation;

pub mod acquire;

pub mod hold;

pub mod record;

pub mod roll;

pub mod ticket_handle;

pub mod ticket;

pub mod proof;

pub mod ticket_acquire;

pub mod ticket_hold;

pub mod ticket_record;

pub mod bury;

#[cfg(panic = "abort")]
mod panic;
mod pointer;
