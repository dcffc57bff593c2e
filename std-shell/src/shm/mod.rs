//! Opens a lock's file by its name, maps it, and removes it when its last user leaves.

pub(crate) mod attach;
mod create;
#[cfg(feature = "block")]
pub(crate) mod data;
pub(crate) mod death_proof;
pub(crate) mod file;
pub(crate) mod mapping;
pub(crate) mod removal;
pub(crate) mod share;
pub(crate) mod stale_block;
pub(crate) mod window;
