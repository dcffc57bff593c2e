//! Which handles are here and which of them live, as locks on bytes prove it.

pub(crate) mod lifeline;
pub(crate) mod liveness;
pub(crate) mod presence;
pub(crate) mod token;
