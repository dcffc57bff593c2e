//! What a process knows of its handles, and what it does with them at its end.

pub(crate) mod exit;
pub(crate) mod registry;
