//! Draws the token of a handle: a number that no other living handle on the file has.
//!
//! Token `t` is byte 2^30 + `t` of the file, write-locked through the handle's open file
//! description (`layout/lock_bytes.rs`). So no two living handles have the same token, and the
//! kernel frees a token with its process, however that ends. This holds across reuse of process
//! ids, pid namespaces and containers: the lock belongs to the file.

use std::fs::File;
use std::io::Read;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use shmlock_core::protocol::{self, Wake};
use shmlock_core::token::{LIVING_MAX, LIVING_MIN};
use shmlock_core::{FenceScope, Region, Token};

use crate::layout::lock_bytes::PRESENCE;
use crate::layout::lock_bytes::byte_of;
use crate::sys::futex;
use crate::sys::ofd::{self, Kind};

/// The number of taken tokens that [`draw`] passes over. With a thousand handles on one file, one
/// first draw in a million hits a taken token. A peer that locks bytes to keep handles out succeeds
/// anyway.
const DRAWS: u32 = 1000;

/// Draws `len` free tokens in a row, and locks their bytes through `fd`'s description. Returns the
/// first. `EAGAIN`: all drawn tokens were taken. `random` is a number that no other call has got.
pub(crate) fn draw(fd: BorrowedFd<'_>, random: u32, len: u32) -> Result<Token, Errno> {
    let count = LIVING_MAX - LIVING_MIN + 2 - len; // the places of the first one
    let mut index = random % count;
    for _ in 0..DRAWS {
        let token = Token::living(LIVING_MIN + index).ok_or(Errno::RANGE)?;
        if ofd::try_lock_range(fd, Kind::Write, byte_of(token), len)? {
            return Ok(token);
        }
        // Taken: go on behind the range that is locked there.
        let taken_to = ofd::blocking_range(fd, byte_of(token), len)?
            .map_or(byte_of(token), |range| *range.end());
        let last = taken_to.clamp(byte_of(token), PRESENCE + LIVING_MAX) - PRESENCE;
        index = (last + 1 - LIVING_MIN) % count;
    }
    Err(Errno::AGAIN)
}

/// Returns random bytes from the kernel, getrandom(2); from `/dev/urandom`, random(4), where the
/// call is refused.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], Errno> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(got) => filled += got,
            Err(Errno::INTR) => {}
            Err(_) => {
                let read =
                    File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes));
                read.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
                break;
            }
        }
    }
    Ok(bytes)
}

/// Frees the lock if its word names `token`, which this handle has just drawn. The owner is dead:
/// its token could not have been drawn otherwise.
pub(crate) fn free_stale(region: Region<'_>, token: Token, fence: FenceScope) {
    let Some(wake) = protocol::declare_stale(region.owner_word(), token, fence) else { return };
    region.count_recovery();
    if wake == Wake::One {
        futex::wake_one(region.owner_word());
    }
}
