//! Proves by byte locks which handles are open, and which owner lives.

pub(crate) mod lifeline;
pub(crate) mod liveness;
pub(crate) mod presence;
pub(crate) mod token;
