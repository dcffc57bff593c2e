//! Maps a lock's file: the bytes beyond the core's region, and the byte locks.

pub(crate) mod header;
pub(crate) mod lock_bytes;
