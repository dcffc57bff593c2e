//! Defines the words of a roll, as they lie in memory.

#[cfg(not(loom))]
use core::mem::{align_of, offset_of, size_of};

use crate::error::Error;
#[cfg(not(loom))]
use crate::layout::{ROLL_ALIGN, Words, roll_len};
use crate::layout::{ROLL_MAGIC, UNTOUCHED};
use crate::sync::{AtomicU32, Relaxed};

/// The first words of a roll. The magic word stands where that of a lock does, so that each refuses
/// the memory of the other.
#[repr(C)]
#[derive(Debug)]
#[cfg_attr(loom, derive(Default))]
pub(super) struct Header {
    pub(super) _before_magic: [AtomicU32; 2],
    pub(super) magic: AtomicU32,
    pub(super) _after_magic: AtomicU32,
}

/// The words of one slot.
#[repr(C)]
#[derive(Debug)]
pub(super) struct SlotWords {
    /// Written by the core only.
    pub(super) boots: AtomicU32,
    /// Written by the supervisor only.
    pub(super) retired: AtomicU32,
}

// The layout is a contract with programs compiled elsewhere.
#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<Header>() == roll_len(0) && align_of::<Header>() == ROLL_ALIGN);
    assert!(size_of::<SlotWords>() == 8 && align_of::<SlotWords>() == ROLL_ALIGN);
    assert!(offset_of!(Header, magic) == offset_of!(Words, magic));
    assert!(offset_of!(SlotWords, boots) == 0 && offset_of!(SlotWords, retired) == 4);
};

impl Header {
    /// Checks the magic word, and writes it if the memory is untouched.
    pub(super) fn claim(&self) -> Result<(), Error> {
        // Partner: the store below by others. Relaxed: it orders no other word, for all zero is
        // valid.
        match self.magic.load(Relaxed) {
            // No swap: all parties store the same value, and the memory may have no exclusives.
            UNTOUCHED => self.magic.store(ROLL_MAGIC, Relaxed),
            ROLL_MAGIC => {}
            found => {
                return Err(match found.to_le_bytes() {
                    [b'S', b'H', b'R', found] => Error::OtherRollVersion { found },
                    _ => Error::NotARoll { found },
                });
            }
        }
        Ok(())
    }
}
