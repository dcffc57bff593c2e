//! The way from a name to mapped memory and back.

pub(crate) mod attach;
mod create;
#[cfg(feature = "block")]
pub(crate) mod data;
pub(crate) mod death_proof;
pub(crate) mod file;
pub(crate) mod mapping;
pub(crate) mod removal;
pub(crate) mod stale_block;
