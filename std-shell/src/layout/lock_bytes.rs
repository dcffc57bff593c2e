//! Maps the byte locks on a lock's file, fcntl(2) `F_OFD_SETLK`. No other place gives them a
//! meaning.
//!
//! | byte | lock | held through | from | until |
//! |---|---|---|---|---|
//! | [`PRESENCE`], 2^30 | read | `A` | a handle is opened | its mapping goes |
//! | [`PRESENCE`] | write | see below | no other handle is open | the file is removed or left |
//! | [`UNUSED`], 2^30 + 1 | none | | | |
//! | [`WATCHERS`], 2^30 + 2, 2^30 + 3 | write | see below | a process watches | it stops watching |
//! | [`byte_of`] a living token | write | `A` | it is drawn | the mapping goes |
//! | [`byte_of`] a dead owner's token | write | `B` | recovery begins | the owner word is swapped |
//!
//! `A` is the open file description that the handle's mapping keeps; `B` is the one of its
//! descriptor, and holds no lock at rest (`shm/attach/mod.rs`). The kernel drops a byte lock with
//! the last reference to its description.
//!
//! *Presence, write* (`identity/presence.rs`): the last closer, through `B` or a fresh
//! description; an opener that fails, fills a file with zeros, or clears a stale block, through
//! `A`; a cleaner, through a description of its own. While one of them has it, no handle can be
//! opened.
//!
//! *Watchers* (`watch/`): the watch thread of a waiting process, through a description of its own.
//! At most two processes have a byte, so at most two watch.
//!
//! *Token* (`identity/token.rs`): the life byte of a handle, 2^30 + 65536 to 2^31 - 2. It proves
//! that the owner lives (`shm/death_proof.rs`). A process with many handles locks a range of them
//! at once, and keeps it for its next handles (`shm/share/mod.rs`).
//!
//! The bytes need not exist in the file; their content does not matter. Every offset fits in 31
//! bits, so that 32-bit and 64-bit processes agree.

use shmlock_core::Token;
use shmlock_core::token::{LIVING_MAX, STATIC_MAX};

/// The presence byte. The byte of token `t` is `PRESENCE + t`, so no token shares it.
pub(crate) const PRESENCE: u32 = 1 << 30;

/// A byte that no process locks. A sandbox that reports it as locked reports so of every byte.
pub(crate) const UNUSED: u32 = PRESENCE + 1;

/// The bytes of the processes that watch the lock for all waiters. Two: a process that watches may
/// be the next owner, and does not notice its own death.
pub(crate) const WATCHERS: [u32; 2] = [PRESENCE + 2, PRESENCE + 3];

/// Returns the byte of a token: the life byte, if the token is a living one.
pub(crate) const fn byte_of(token: Token) -> u32 {
    PRESENCE + token.get()
}

// `UNUSED` and `WATCHERS` are bytes of static tokens, which no handle draws.
const _: () = {
    assert!(WATCHERS[1] - PRESENCE <= STATIC_MAX);
    assert!(PRESENCE + LIVING_MAX < 1 << 31);
};
