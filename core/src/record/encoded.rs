//! Encodes a record as the words of a region.

use super::{Description, Record};
use crate::layout::DESCRIPTION_MAX;

/// A [`Record`] without *since*, as words.
///
/// [`Region::write_encoded`](crate::Region::write_encoded) writes it by stores alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EncodedRecord {
    pub(crate) uuid: [u32; 4],
    pub(crate) pid: u32,
    pub(crate) pid_namespace: u32,
    pub(crate) description: DescriptionWords,
}

/// Only the words that the description fills.
type DescriptionWords = heapless::Vec<u32, { (DESCRIPTION_MAX + 1).div_ceil(4) }>;

impl EncodedRecord {
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
fn description_words(text: &Description) -> DescriptionWords {
    let mut bytes = [0; DESCRIPTION_MAX + 1];
    let [len, rest @ ..] = &mut bytes;
    for (to, from) in rest.iter_mut().zip(text.as_bytes()) {
        *to = *from;
        *len += 1;
    }
    let filled = words_filled(u32::from(*len));
    let mut words = DescriptionWords::new();
    for bytes in bytes.chunks_exact(4).take(filled) {
        let _ = words.push(le_word(bytes)); // there is room for all
    }
    words
}

/// Returns how many words a description with this first word fills. Total: a length beyond the
/// field gives more words than there are.
pub(crate) fn words_filled(first: u32) -> usize {
    let [len, ..] = first.to_le_bytes();
    (1 + usize::from(len)).div_ceil(4)
}

fn le_word(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte))
}
