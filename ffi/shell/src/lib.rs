//! Exports the named lock to C. `cbindgen` makes `include/shmlock.h` from this crate and its
//! comments; `install.sh` makes `libshmlock.so.1` and `libshmlock.a`.
//!
//! A handle is a struct in the caller's memory, which refers to a `ShmLock` on the heap
//! ([`handle::Lock`]). Each function checks what it is given, calls one function of the crate
//! `shmlock`, and turns an error into a status and a struct of the caller's. No panic leaves it.
//!
//! | file | contents |
//! |---|---|
//! | [`status`] | results of calls, and their messages |
//! | [`error`] | the caller's struct with the details of an error |
//! | `pointer`, `text` | checked access to addresses and strings from C |
//! | `guarded` | catching panics before they unwind into C |
//! | [`callback`] | the types of the callbacks, and values that hold one |
//! | [`handle`] | the handle, and the check of each call on it |
//! | [`options`] | the options with which a lock is opened |
//! | [`open`] | opening, copying and closing |
//! | [`acquire`] | acquiring and releasing |
//! | [`hold`] | calls of an owner |
//! | [`holder`], [`state`] | looking at a lock, by a handle or from outside |
//! | [`event`] | exit events |
//! | [`exit`] | exit handlers |
//! | [`list`], [`clean`] | the locks of a directory |
//! | [`logger`] | the log |

// In the order of the header.
pub mod status;

pub mod error;

pub mod handle;

pub mod event;

pub mod callback;

pub mod options;

pub mod open;

pub mod acquire;

pub mod hold;

pub mod holder;

pub mod state;

pub mod exit;

pub mod list;

pub mod clean;

pub mod logger;

mod guarded;
mod pointer;
mod text;
