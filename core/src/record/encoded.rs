//! Encodes a record as the words of a region.

use super::{Description, Record};
use crate::layout::DESCRIPTION_MAX;

/// Words of the description: its length byte and its text.
const DESCRIPTION_WORDS: usize = (DESCRIPTION_MAX + 1) / 4;

/// A [`Record`] without *since*, as words.
///
/// [`Region::write_encoded`](crate::Region::write_encoded) writes it by stores alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EncodedRecord {
    pub(crate) uuid: [u32; 4],
    pub(crate) pid: u32,
    pub(crate) pid_namespace: u32,
    /// Zero beyond the text.
    pub(crate) description: [u32; DESCRIPTION_WORDS],
}

impl EncodedRecord {
    /// The record of an owner that says nothing: [`Record::default`].
    pub(crate) const EMPTY: Self =
        Self { uuid: [0; 4], pid: 0, pid_namespace: 0, description: [0; DESCRIPTION_WORDS] };

    /// Encodes a record.
    ///
    /// # Examples
    /// ```
    /// use core::num::NonZeroU16;
    /// use shmlock_core::fence::InnerShareable;
    /// use shmlock_core::{EncodedRecord, Record, Region, RegionMemory, Token};
    ///
    /// let memory = RegionMemory::new();
    /// let me = Token::from_static(NonZeroU16::MIN);
    /// let record = Record { pid: 7, ..Record::default() };
    /// Region::new(&memory)?.write_encoded(me, &EncodedRecord::new(&record), 60, InnerShareable);
    /// # Ok::<(), shmlock_core::Error>(())
    /// ```
    #[must_use]
    pub fn new(record: &Record) -> Self {
        let mut uuid = [0; 4];
        for (word, bytes) in uuid.iter_mut().zip(record.uuid.as_bytes().chunks_exact(4)) {
            *word = le_word(bytes);
        }
        let Record { pid, pid_namespace, .. } = *record;
        Self { uuid, pid, pid_namespace, description: description_words(&record.description) }
    }

    /// Replaces the description.
    pub fn set_description(&mut self, text: &Description) {
        self.description = description_words(text);
    }
}

/// Encodes the length byte and the text.
fn description_words(text: &Description) -> [u32; DESCRIPTION_WORDS] {
    let mut words = [0; DESCRIPTION_WORDS];
    let mut len = 0;
    for (at, &byte) in (1..).zip(text.as_bytes()) {
        // There is room for all.
        if let Some(word) = words.get_mut(at / 4) {
            *word |= u32::from(byte) << (8 * (at % 4));
            len += 1;
        }
    }
    let [first, ..] = &mut words;
    *first |= len;
    words
}

/// Returns how many words a description with this first word fills. Total: a length beyond the
/// field gives more words than there are.
pub(crate) fn words_filled(first: u32) -> usize {
    let [len, ..] = first.to_le_bytes();
    usize::from(len) / 4 + 1
}

/// Returns the low half and the high half.
#[expect(clippy::cast_possible_truncation, reason = "each half is what the cast keeps")]
pub(crate) const fn halves(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

fn le_word(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte))
}
