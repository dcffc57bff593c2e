//! Provides a region's bytes as memory and as values. The memory ends with its heap allocation, so
//! that AddressSanitizer reports an access beyond it. The values state the expected bytes after a
//! call.

#![expect(unsafe_code, reason = "raw addresses, as a peer outside Rust uses them")]

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use shmlock_core::layout::REGION_LEN;
use shmlock_core::record::description;
use shmlock_core::roll::Roll;
use shmlock_core::ticket::TicketPlace;
use shmlock_core::uuid::Uuid;
use shmlock_core::{EpochRegion, Error, Record, Region};

// Repeated on purpose: other programs depend on these values, whatever the core's `layout.rs` says.
pub(crate) const OWNER: usize = 0;
const GENERATION: usize = 4;
pub(crate) const MAGIC: usize = 8;
const RECOVERIES: usize = 12;
const GENERATION_HIGH: usize = 48;
const CONTENDED: usize = 60;
const SEQUENCE: usize = 52;
const RECORD_TOKEN: usize = 56;
const DESCRIPTION: usize = 64;

pub(crate) const WAITERS: u32 = 1 << 31;
pub(crate) const DIED: u32 = 1 << 30;

/// Returns the token of an owner word.
pub(crate) const fn token_part(word: u32) -> u32 {
    word & (DIED - 1)
}

/// Words on the heap.
#[derive(Debug)]
pub struct Memory {
    words: Box<[AtomicU32]>,
}

impl Memory {
    /// Returns the fewest words that hold `len` bytes, filled from `bytes`.
    #[must_use]
    pub fn holding(bytes: &Bytes, len: usize) -> Self {
        let mut content =
            bytes.0.chunks_exact(4).map(|word| word.try_into().map_or(0, u32::from_le_bytes));
        Self {
            words: (0..len.div_ceil(4))
                .map(|_| AtomicU32::new(content.next().unwrap_or(0)))
                .collect(),
        }
    }

    /// Returns memory with these words.
    #[must_use]
    pub fn of_words(words: &[u32]) -> Self {
        Self { words: words.iter().copied().map(AtomicU32::new).collect() }
    }

    /// Returns a copy of all words.
    #[must_use]
    pub fn copy(&self) -> Vec<u32> {
        self.words.iter().map(|word| word.load(Relaxed)).collect()
    }

    /// Returns the words, for writes outside the protocol.
    #[must_use]
    pub fn words(&self) -> &[AtomicU32] {
        &self.words
    }

    /// Returns the first 128 bytes in memory order, zero beyond the end.
    #[must_use]
    pub fn bytes(&self) -> Bytes {
        let mut bytes = Bytes([0; REGION_LEN]);
        for (bytes, word) in bytes.0.chunks_exact_mut(4).zip(&self.words) {
            bytes.copy_from_slice(&word.load(Relaxed).to_le_bytes());
        }
        bytes
    }

    /// Returns the address of `len` bytes at `offset`.
    fn address(&self, offset: usize, len: usize) -> NonNull<u8> {
        assert!(offset + len <= size_of_val(&*self.words));
        let start = NonNull::from(&*self.words).cast::<u8>();
        NonNull::new(start.as_ptr().wrapping_add(offset)).expect("inside the words")
    }

    /// Returns the region of `len` bytes at `offset`.
    ///
    /// # Errors
    /// The core's.
    pub fn region_at(&self, offset: usize, len: usize) -> Result<Region<'_>, Error> {
        // SAFETY:
        // - `len` bytes from the address on lie inside `self.words`, which the result borrows.
        // - They are `AtomicU32`: accessed only by atomic operations of 32 bits, and no other
        //   reference to them exists.
        unsafe { Region::from_raw(self.address(offset, len), len) }
    }

    /// Returns the region with epoch tokens of `len` bytes at `offset`.
    ///
    /// # Errors
    /// The core's.
    pub fn epoch_region_at(&self, offset: usize, len: usize) -> Result<EpochRegion<'_>, Error> {
        // SAFETY: as in `region_at`.
        unsafe { EpochRegion::from_raw(self.address(offset, len), len) }
    }

    /// Returns the roll of `len` bytes at `offset`.
    ///
    /// # Errors
    /// The core's.
    pub fn roll_at(&self, offset: usize, len: usize) -> Result<Roll<'_>, Error> {
        // SAFETY: as in `region_at`.
        unsafe { Roll::from_raw(self.address(offset, len), len) }
    }

    /// Returns the place of a ticket lock of `len` bytes at `offset`.
    ///
    /// # Errors
    /// The core's.
    pub fn ticket_place_at<const N: usize>(
        &self,
        offset: usize,
        len: usize,
    ) -> Result<TicketPlace<'_, N>, Error> {
        // SAFETY: as in `region_at`.
        unsafe { TicketPlace::from_raw(self.address(offset, len), len) }
    }
}

/// The bytes of a region as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, arbitrary::Arbitrary)]
pub struct Bytes(pub [u8; REGION_LEN]);

impl Bytes {
    /// Returns the word at this offset.
    #[must_use]
    pub fn word(&self, offset: usize) -> u32 {
        self.0
            .get(offset..offset + 4)
            .and_then(|word| word.try_into().ok())
            .map_or(0, u32::from_le_bytes)
    }

    /// Returns these bytes with another word at this offset.
    #[must_use]
    pub fn with(mut self, offset: usize, word: u32) -> Self {
        self.0[offset..offset + 4].copy_from_slice(&word.to_le_bytes());
        self
    }

    pub(crate) fn owner(&self) -> u32 {
        self.word(OWNER)
    }

    pub(crate) fn with_owner(self, word: u32) -> Self {
        self.with(OWNER, word)
    }

    pub(crate) fn generation(&self) -> u64 {
        u64::from(self.word(GENERATION_HIGH)) << 32 | u64::from(self.word(GENERATION))
    }

    /// Returns the bytes after one more acquisition.
    pub(crate) fn counted(self) -> Self {
        let next = self.generation().wrapping_add(1).to_le_bytes();
        let [low, high] = [0, 4]
            .map(|at| u32::from_le_bytes([next[at], next[at + 1], next[at + 2], next[at + 3]]));
        self.with(GENERATION, low).with(GENERATION_HIGH, high)
    }

    pub(crate) fn recoveries(&self) -> u32 {
        self.word(RECOVERIES)
    }

    /// Returns the bytes after one more recovery.
    pub(crate) fn recovered(self) -> Self {
        self.with(RECOVERIES, self.recoveries().wrapping_add(1))
    }

    /// Returns the bytes after one more contended acquisition.
    pub(crate) fn contended(self) -> Self {
        self.with(CONTENDED, self.word(CONTENDED).wrapping_add(1))
    }

    pub(crate) fn contentions(&self) -> u32 {
        self.word(CONTENDED)
    }

    pub(crate) fn describes(&self, token: u32) -> bool {
        self.word(RECORD_TOKEN) == token && self.word(SEQUENCE) % 2 == 0
    }

    /// Returns the bytes with a complete record of the owner.
    pub(crate) fn recorded(self) -> Self {
        self.with(RECORD_TOKEN, token_part(self.owner())).with(SEQUENCE, self.word(SEQUENCE) & !1)
    }

    /// Returns the record of `token` as a reader must see it.
    pub(crate) fn record_of(&self, token: u32) -> Option<Record> {
        let text = self.0[DESCRIPTION + 1..].get(..self.0[DESCRIPTION].into()).unwrap_or_default();
        self.describes(token).then(|| Record {
            uuid: Uuid::from_slice(&self.0[16..32]).expect("16 bytes"),
            pid: self.word(32),
            pid_namespace: self.word(36),
            since: u64::from(self.word(44)) << 32 | u64::from(self.word(40)),
            description: description(std::str::from_utf8(text).unwrap_or_default())
                .expect("at most 63 bytes"),
        })
    }

    /// Returns the bytes without the record.
    pub(crate) fn without_record(mut self) -> Self {
        for part in [16..48, SEQUENCE..RECORD_TOKEN + 4, DESCRIPTION..REGION_LEN] {
            self.0[part].fill(0);
        }
        self
    }
}
