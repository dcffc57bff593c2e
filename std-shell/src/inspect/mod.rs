//! Inspects locks without holding them, and removes the files that dead processes left.

pub(crate) mod clean;
pub(crate) mod external;
pub(crate) mod list;
pub(crate) mod statistics;
pub(crate) mod status;
