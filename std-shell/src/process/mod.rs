//! Keeps the list of this process's handles, and releases their locks when the process ends.
//!
//! `registry.rs` is the list. `exit.rs` has the public [`ExitHandlers`](exit::ExitHandlers),
//! `ending.rs` the handlers, and `signal_action.rs` sigaction(2).

mod ending;
pub(crate) mod exit;
pub(crate) mod registry;
mod signal_action;
