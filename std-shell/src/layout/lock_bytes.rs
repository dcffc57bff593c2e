//! The map of the byte locks on a lock's file, fcntl(2) `F_OFD_SETLK`. No byte of them has content.
//!
//! | byte | lock | held by |
//! |---|---|---|
//! | [`PRESENCE`] | read | each handle, for as long as its mapping lives |
//! | [`PRESENCE`] | write | the last closer, a cleaner, a maker: nobody else has the file open |
//! | [`UNUSED`] | none | |
//! | [`PROBER`] | write | the waiter that probes the owner on behalf of all |
//! | [`byte_of`] a token | write | the handle that has this token |
//!
//! Every offset fits in 31 bits, so that 32-bit processes agree.

use shmlock_core::Token;

/// The presence byte. Token `t` is the byte this far beyond it plus `t`, so no token shares it.
pub(crate) const PRESENCE: u32 = 1 << 30;

/// A byte that nobody locks: that of a static token. A sandbox that says "locked" here says so of
/// every byte.
pub(crate) const UNUSED: u32 = PRESENCE + 1;

/// The byte of the watch: that of a static token, which are nobody's.
pub(crate) const PROBER: u32 = PRESENCE + 2;

/// The byte that stands for a token.
pub(crate) const fn byte_of(token: Token) -> u32 {
    PRESENCE + token.get()
}
