//! Keeps the list of this process's handles, and releases their locks when the process ends.
//!
//! `registry.rs` is the list. `exit.rs` has the public [`ExitHandlers`](exit::ExitHandlers),
//! `ending.rs` the handlers, and `signal_action.rs` sigaction(2). `anchor.rs` tells a handle that
//! it is this process's and which thread its slot names; `thread_end.rs` removes the latter.

pub(crate) mod anchor;
mod ending;
pub(crate) mod exit;
pub(crate) mod registry;
mod signal_action;
pub(crate) mod thread_end;
