//! Defines the 128 bytes that all parties agree on: layout version 1.
//!
//! | offset | word | written by |
//! |---:|---|---|
//! | 0 | owner word, see [`word`](crate::word) | each step of [`protocol`](crate::protocol) |
//! | 4 | generation: +1 at each acquisition, wraps | the owner |
//! | 8 | magic and layout version | the first user, by compare-and-swap from 0 |
//! | 12 | recoveries: dead owners recovered from so far, wraps | the recovering handle |
//! | 16–31 | uuid of the owner, its 16 bytes in order | the owner |
//! | 32 | process id of the owner, as its own namespace sees it | the owner |
//! | 36 | pid namespace of the owner (inode number), 0 if unknown | the owner |
//! | 40, 44 | time of the record, seconds of the boot-time clock; low and high half | the owner |
//! | 48 | generation, high half | the owner |
//! | 52 | record sequence: odd while the record is being written | the owner |
//! | 56 | record token: the owner that the record describes, 0 = none | the owner |
//! | 60 | contended: acquisitions that found the lock held, wraps | the owner |
//! | 64–127 | description: one length byte, then up to 63 bytes of UTF-8 | the owner |
//!
//! All words are little-endian 32-bit. **All zero is a valid, free lock**: a fresh file, a cleared
//! RAM bank or a zeroed static needs no initialiser, and creator and first user cannot race. Bytes
//! 0–63 share one cache line if the region is aligned to 64 bytes.

#[cfg(not(loom))]
use core::mem::{align_of, offset_of, size_of};

use crate::sync::AtomicU32;

/// Bytes of a region.
pub const REGION_LEN: usize = 128;

/// The alignment that a region must have, in bytes. With 64, all hot words share one cache line.
pub const REGION_ALIGN: usize = 4;

/// The layout version this crate reads and writes.
pub const LAYOUT_VERSION: u8 = 1;

/// The magic word of a region in use: the bytes `S`, `H`, `L`, and the layout version.
pub const MAGIC: u32 = u32::from_le_bytes([b'S', b'H', b'L', LAYOUT_VERSION]);

/// The layout version of a region whose static tokens are of boots ([`roll`](crate::roll)): the
/// bytes of [`LAYOUT_VERSION`], under another number. So each party that knows plain static tokens
/// only refuses it.
pub const EPOCH_VERSION: u8 = LAYOUT_VERSION | 0x80;

/// The magic word of a region in use whose static tokens are of boots.
pub const EPOCH_MAGIC: u32 = u32::from_le_bytes([b'S', b'H', b'L', EPOCH_VERSION]);

/// The magic word of memory that has not been used as a lock, or as a roll, yet.
pub(crate) const UNTOUCHED: u32 = 0;

/// The byte of the magic word that holds the layout version.
const VERSION: u32 = u32::from_le_bytes([0, 0, 0, 0xff]);

/// Longest description, in bytes of UTF-8.
pub const DESCRIPTION_MAX: usize = 63;

/// The alignment that a [`roll`](crate::roll) of boots must have, in bytes.
pub const ROLL_ALIGN: usize = 4;

/// The version of the roll's layout that this crate reads and writes.
pub const ROLL_VERSION: u8 = 1;

/// The magic word of a roll in use: the bytes `S`, `H`, `R`, and the version.
pub const ROLL_MAGIC: u32 = u32::from_le_bytes([b'S', b'H', b'R', ROLL_VERSION]);

/// The largest slot of a roll: six bits of a token.
pub const SLOT_MAX: u8 = 63;

/// Returns the bytes of a roll with the slots from 1 to `slots`: a head of 16 bytes, and 8 for each
/// slot.
#[must_use]
pub const fn roll_len(slots: u8) -> usize {
    16 + 8 * slots as usize
}

/// The meaning of a magic word. Total: every value has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Magic {
    /// All zero: this memory has not been used as a lock yet.
    Untouched,
    /// A lock of [`LAYOUT_VERSION`].
    Ours,
    /// A lock of another layout version.
    OtherVersion(u8),
    /// Not a lock.
    Foreign,
}

impl Magic {
    /// Decodes the word at offset 8.
    #[must_use]
    pub const fn decode(word: u32) -> Self {
        // As words: byte by byte it would take three times the instructions.
        match word {
            UNTOUCHED => Self::Untouched,
            MAGIC => Self::Ours,
            _ => match word.to_le_bytes() {
                [.., version] if word & !VERSION == MAGIC & !VERSION => Self::OtherVersion(version),
                _ => Self::Foreign,
            },
        }
    }
}

/// Returns `true` if this is the magic word of a lock of any kind and version: the bytes `SHL` or
/// `TK` begin it.
pub(crate) const fn is_magic_of_lock(word: u32) -> bool {
    matches!(word.to_le_bytes(), [b'S', b'H', b'L', _] | [b'T', b'K', _, _])
}

/// Words of the uuid, of *since* and of the description.
///
/// Fewer under loom, which follows every combination of values that a reader may see. Two words
/// can be torn from each other, and so can words of different fields. More of them show nothing
/// else, and each doubles the time.
const UUID_WORDS: usize = if cfg!(loom) { 2 } else { 4 };
const SINCE_WORDS: usize = if cfg!(loom) { 1 } else { 2 };
const DESCRIPTION_WORDS: usize = if cfg!(loom) { 1 } else { 16 };

/// The words of a region, as they stand in memory. Only `region.rs` turns an address into them.
#[repr(C)]
#[derive(Debug)]
#[cfg_attr(loom, derive(Default))]
pub(crate) struct Words {
    pub(crate) owner: AtomicU32,
    pub(crate) generation: AtomicU32,
    pub(crate) magic: AtomicU32,
    pub(crate) recoveries: AtomicU32,
    pub(crate) uuid: [AtomicU32; UUID_WORDS],
    pub(crate) pid: AtomicU32,
    pub(crate) pid_namespace: AtomicU32,
    pub(crate) since: [AtomicU32; SINCE_WORDS],
    pub(crate) generation_high: AtomicU32,
    pub(crate) record_sequence: AtomicU32,
    pub(crate) record_token: AtomicU32,
    pub(crate) contended: AtomicU32,
    pub(crate) description: [AtomicU32; DESCRIPTION_WORDS],
}

// The layout is a contract with programs compiled elsewhere: it must not follow a change of this
// struct.
#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<Words>() == REGION_LEN);
    assert!(align_of::<Words>() == REGION_ALIGN);
    assert!(offset_of!(Words, owner) == 0);
    assert!(offset_of!(Words, generation) == 4);
    assert!(offset_of!(Words, magic) == 8);
    assert!(offset_of!(Words, recoveries) == 12);
    assert!(offset_of!(Words, uuid) == 16);
    assert!(offset_of!(Words, pid) == 32);
    assert!(offset_of!(Words, pid_namespace) == 36);
    assert!(offset_of!(Words, since) == 40);
    assert!(offset_of!(Words, generation_high) == 48);
    assert!(offset_of!(Words, record_sequence) == 52);
    assert!(offset_of!(Words, record_token) == 56);
    assert!(offset_of!(Words, contended) == 60);
    assert!(offset_of!(Words, description) == 64);
};

#[cfg(not(loom))]
impl Words {
    /// Decodes a copy of a region.
    pub(crate) fn of_bytes(bytes: &[u8; REGION_LEN]) -> Self {
        let little_endian =
            |bytes: &[u8]| bytes.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte));
        let mut words = bytes.chunks_exact(4).map(little_endian);
        let mut next = || AtomicU32::new(words.next().unwrap_or_default());
        // In the order of their offsets; fields are evaluated as they are written.
        Self {
            owner: next(),
            generation: next(),
            magic: next(),
            recoveries: next(),
            uuid: core::array::from_fn(|_| next()),
            pid: next(),
            pid_namespace: next(),
            since: core::array::from_fn(|_| next()),
            generation_high: next(),
            record_sequence: next(),
            record_token: next(),
            contended: next(),
            description: core::array::from_fn(|_| next()),
        }
    }

    pub(crate) const fn zeroed() -> Self {
        #[expect(
            clippy::declare_interior_mutable_const,
            reason = "only ever copied into a new place"
        )]
        const ZERO: AtomicU32 = AtomicU32::new(0);
        Self {
            owner: ZERO,
            generation: ZERO,
            magic: ZERO,
            recoveries: ZERO,
            uuid: [ZERO; UUID_WORDS],
            pid: ZERO,
            pid_namespace: ZERO,
            since: [ZERO; SINCE_WORDS],
            generation_high: ZERO,
            record_sequence: ZERO,
            record_token: ZERO,
            contended: ZERO,
            description: [ZERO; DESCRIPTION_WORDS],
        }
    }
}
