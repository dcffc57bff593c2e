//! A number that exactly one living handle has, by the kernel's word.
//!
//! Token `t` is byte 2^30 + `t` of the region's file, write-locked by the handle's open file description. So no two
//! living handles on one file have one token, and a token is free again as soon as its process is gone, by whatever
//! death. It holds across process id reuse, pid namespaces and containers: the lock belongs to the file.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};
use shmlock_core::Token;

use crate::ofd::{self, Kind};
use crate::presence::PRESENCE;

/// The byte that stands for a token.
pub(crate) const fn byte_of(token: Token) -> u32 {
    PRESENCE + token.get()
}

/// Draws a token that nobody has, and holds it through `fd`'s description.
pub(crate) fn draw(fd: BorrowedFd<'_>) -> Result<Token, Errno> {
    loop {
        let Some(token) = candidate()? else { continue };
        if ofd::try_lock(fd, Kind::Write, byte_of(token))? {
            return Ok(token);
        }
        // Somebody alive has it: with a thousand handles on one file this happens once in a million draws.
    }
}

/// A random number if it falls into the living range: all but one in 16 000 of the 30-bit numbers do.
fn candidate() -> Result<Option<Token>, Errno> {
    Ok(Token::living(u32::from_ne_bytes(random_bytes()?) >> 2))
}

/// Random bytes from the kernel, getrandom(2).
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], Errno> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(got) => filled += got,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(bytes)
}
