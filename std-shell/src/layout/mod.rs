//! Every byte of a lock's file that the core does not know, and every byte lock on it.

pub(crate) mod header;
pub(crate) mod lock_bytes;
