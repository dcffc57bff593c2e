//! Maps the file's header: the cache line behind the lock's region, and the data behind that.
//!
//! | offset | content | written by |
//! |---:|---|---|
//! | 0–127 | the lock's region, see `layout.rs` of the core | |
//! | 128, 132 | longest hold in nanoseconds, low and high half; 0 = none measured | the owner |
//! | 136 | length of the data in bytes, 0 = a lock without data | the file's creator, or an owner |
//! | 140 | 1 = the data has been created, 0 = not yet | the owner that creates it |
//! | 144–151 | reserved, zero | |
//! | 152–191 | schema: one length byte, then up to 39 bytes of UTF-8 | as 136 |
//! | 192– | the data, if there is any | the owner |
//!
//! All words are little-endian, as the region's are. All zero is valid: a lock without data. The
//! header is a cache line of its own, so that its writers do not disturb contenders that read the
//! owner word.

use std::fmt;
use std::mem::{offset_of, size_of};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

#[cfg(feature = "block")]
use shmlock_core::Fence;
use shmlock_core::layout::REGION_LEN;
use shmlock_core::region::READ_ATTEMPTS;

/// The offset of the header in the file.
pub(crate) const HEADER_OFFSET: usize = REGION_LEN;
/// The length of the header: one cache line.
pub(crate) const HEADER_LEN: usize = 64;
/// The offset of the data, and the length of a file without data.
pub(crate) const DATA_OFFSET: usize = HEADER_OFFSET + HEADER_LEN;

/// The longest schema, in bytes of UTF-8.
pub const SCHEMA_MAX: usize = SCHEMA_LEN - 1;
const SCHEMA_LEN: usize = 40;

/// The offset of the word `made` in the file.
pub(crate) const MADE_OFFSET: usize = HEADER_OFFSET + offset_of!(Header, made);

/// The words of the header in shared memory.
#[repr(C)]
#[derive(Debug)]
#[cfg_attr(
    not(feature = "block"),
    allow(dead_code, reason = "some fields are read by blocks only")
)]
pub(crate) struct Header {
    longest_hold: [AtomicU32; 2],
    data_len: AtomicU32,
    made: AtomicU32,
    _reserved: [AtomicU32; 2],
    schema: [AtomicU32; SCHEMA_LEN / 4],
}

// A contract with programs compiled elsewhere: it must not follow a change of the struct.
const _: () = {
    assert!(size_of::<Header>() == HEADER_LEN);
    assert!(HEADER_OFFSET + offset_of!(Header, longest_hold) == 128);
    assert!(HEADER_OFFSET + offset_of!(Header, data_len) == 136);
    assert!(HEADER_OFFSET + offset_of!(Header, made) == 140);
    assert!(HEADER_OFFSET + offset_of!(Header, schema) == 152);
    assert!(DATA_OFFSET == 192);
};

/// The layout of the data beside a lock: its length, and its schema.
///
/// All processes that share a block must agree on it. An open compares it with the file's.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BlockLayout {
    bytes: u32,
    schema: [u8; SCHEMA_LEN],
}

impl BlockLayout {
    /// A lock without data.
    pub(crate) const NONE: Self = Self { bytes: 0, schema: [0; SCHEMA_LEN] };

    /// Returns the layout; `None` if the schema is too long.
    #[cfg(feature = "block")]
    pub(crate) fn new(bytes: u32, schema: &str) -> Option<Self> {
        let mut field = [0; SCHEMA_LEN];
        let (len, text) = field.split_first_mut()?;
        *len = u8::try_from(schema.len()).ok()?;
        text.get_mut(..schema.len())?.copy_from_slice(schema.as_bytes());
        Some(Self { bytes, schema: field })
    }

    /// Returns the length of the data in bytes; 0 means a lock without data.
    #[must_use]
    pub fn bytes(&self) -> u32 {
        self.bytes
    }

    /// Returns the schema, see [`Builder::schema`](crate::Builder::schema). Empty if there is none,
    /// or if the file's bytes are not UTF-8.
    #[must_use]
    pub fn schema(&self) -> &str {
        let [len, text @ ..] = &self.schema;
        text.get(..usize::from(*len))
            .and_then(|text| std::str::from_utf8(text).ok())
            .unwrap_or_default()
    }

    /// Returns the length of the file.
    pub(crate) fn file_len(&self) -> u64 {
        DATA_OFFSET as u64 + u64::from(self.bytes)
    }

    /// Reads the layout from the bytes of a header.
    pub(crate) fn of_bytes(header: &[u8; HEADER_LEN]) -> Self {
        let mut schema = [0; SCHEMA_LEN];
        schema.copy_from_slice(&header[offset_of!(Header, schema)..]);
        Self { bytes: word_at(header, offset_of!(Header, data_len)), schema }
    }

    /// Returns the header of a new file.
    #[cfg(feature = "block")]
    pub(crate) fn to_bytes(self) -> [u8; HEADER_LEN] {
        let mut header = [0; HEADER_LEN];
        header[offset_of!(Header, data_len)..][..4].copy_from_slice(&self.bytes.to_le_bytes());
        header[offset_of!(Header, schema)..].copy_from_slice(&self.schema);
        header
    }
}

impl fmt::Display for BlockLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.bytes, self.schema()) {
            (0, _) => f.write_str("a lock without data"),
            (bytes, "") => write!(f, "a block of {bytes} bytes without a schema"),
            // Escaped: the bytes may be another process's, and this text goes to terminals.
            (bytes, schema) => {
                write!(f, "a block of {bytes} bytes with the schema \"{}\"", schema.escape_debug())
            }
        }
    }
}

impl fmt::Debug for BlockLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockLayout")
            .field("bytes", &self.bytes)
            .field("schema", &self.schema())
            .finish()
    }
}

/// Returns `true` if the header says that the data has been created.
pub(crate) fn is_made(header: &[u8; HEADER_LEN]) -> bool {
    word_at(header, offset_of!(Header, made)) == MADE
}

fn word_at(header: &[u8; HEADER_LEN], offset: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&header[offset..][..4]);
    u32::from_le_bytes(word)
}

/// Reads the longest hold from the bytes of a header.
pub(crate) fn longest_hold_of(header: &[u8; HEADER_LEN]) -> Option<Duration> {
    longest(
        word_at(header, offset_of!(Header, longest_hold)),
        word_at(header, offset_of!(Header, longest_hold) + 4),
    )
}

fn longest(low: u32, high: u32) -> Option<Duration> {
    let nanos = u64::from(high) << 32 | u64::from(low);
    (nanos != 0).then(|| Duration::from_nanos(nanos))
}

impl Header {
    /// Returns the longest hold that an owner has measured; `None` if none has.
    pub(crate) fn longest_hold(&self) -> Option<Duration> {
        // Partner: `note_hold`. Relaxed throughout: a statistic, which orders nothing.
        let [low, high] = &self.longest_hold;
        let mut seen = high.load(Relaxed);
        for _ in 0..READ_ATTEMPTS {
            let nanos = longest(low.load(Relaxed), seen);
            let again = high.load(Relaxed);
            if again == seen {
                return nanos;
            }
            seen = again;
        }
        longest(0, seen)
    }

    /// Records the length of a hold if it is the longest so far. Only the owner calls it.
    ///
    /// *If we die between the halves*, the number is too small by up to 4.3 seconds, as it is for a
    /// reader at that moment. It is never too large.
    pub(crate) fn note_hold(&self, held: Duration) {
        let nanos = u64::try_from(held.as_nanos()).unwrap_or(u64::MAX);
        // Partner: the same by the previous owner, ordered by the owner word. Relaxed.
        let [low, high] = &self.longest_hold;
        let (new_low, new_high) = (low_half(nanos), high_half(nanos));
        let old = u64::from(high.load(Relaxed)) << 32 | u64::from(low.load(Relaxed));
        if nanos <= old {
            return;
        }
        if high_half(old) != new_high {
            low.store(0, Relaxed);
            high.store(new_high, Relaxed);
        }
        low.store(new_low, Relaxed);
    }

    /// Returns the layout of the data.
    #[cfg(feature = "block")]
    pub(crate) fn shape(&self) -> BlockLayout {
        let mut schema = [0; SCHEMA_LEN];
        for (bytes, word) in schema.chunks_exact_mut(4).zip(&self.schema) {
            // Partner: `describe`, ordered by the lock; or the file's creator, which wrote it
            // before the file had its name.
            bytes.copy_from_slice(&word.load(Relaxed).to_le_bytes());
        }
        BlockLayout { bytes: self.data_len.load(Relaxed), schema } // partner: as above
    }

    /// Returns `true` if the header has no layout yet. A schema without a length was left by a
    /// death in `describe`.
    #[cfg(feature = "block")]
    pub(crate) fn is_undescribed(&self) -> bool {
        self.data_len.load(Relaxed) == 0 // partner: `describe`, ordered by the lock
    }

    /// Writes the layout, if the file's creator could not. Only the owner calls it.
    ///
    /// *If we die here:* the length is written last, so the next owner writes it all again.
    #[cfg(feature = "block")]
    pub(crate) fn describe(&self, shape: BlockLayout) {
        for (word, bytes) in self.schema.iter().zip(shape.schema.chunks_exact(4)) {
            // Partner: `shape`. Relaxed: the lock orders.
            word.store(
                bytes.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte)),
                Relaxed,
            );
        }
        self.data_len.store(shape.bytes, Relaxed); // partner: `shape`
    }

    /// Returns `true` if the data has been created.
    #[cfg(feature = "block")]
    pub(crate) fn is_made<F: Fence>(&self, fence: F) -> bool {
        let made = self.made.load(Relaxed) == MADE; // partner: `set_made`
        // Pairs with `release` in `set_made`: a reader that sees it made sees the layout, too.
        fence.acquire();
        made
    }

    /// Records that the data has been created. Only the owner calls it.
    #[cfg(feature = "block")]
    pub(crate) fn set_made<F: Fence>(&self, fence: F) {
        fence.release(); // pairs with `acquire` in `is_made`
        self.made.store(MADE, Relaxed); // partner: `is_made`
    }
}

/// The value of `made` once the data has been created.
const MADE: u32 = 1;

#[allow(clippy::cast_possible_truncation, reason = "the half that is asked for")]
fn low_half(nanos: u64) -> u32 {
    nanos as u32
}

fn high_half(nanos: u64) -> u32 {
    low_half(nanos >> 32)
}
