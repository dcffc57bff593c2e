//! Reads and writes the owner record of a region.

use uuid::Uuid;

use super::encoded::{EncodedRecord, halves, words_filled};
use super::{Description, Holder, Record};
use crate::fence::Fence;
use crate::layout::DESCRIPTION_MAX;
use crate::region::{READ_ATTEMPTS, Region};
use crate::sync::{AtomicU32, Relaxed, spin_loop};
use crate::token::Token;

impl Region<'_> {
    /// Returns `true` if the record describes `me` already. Only the owner calls it.
    #[must_use]
    #[inline]
    pub fn record_describes(self, me: Token) -> bool {
        let words = self.words();
        // Partner: `write_encoded` by us or a previous owner, ordered by the owner word. Relaxed.
        words.record_token.load(Relaxed) == me.get() && words.record_sequence.load(Relaxed) % 2 == 0
    }

    /// Returns `true` if `me` was the last to write a record. Only the owner calls it, if it found
    /// the owner word without owner and flags, and has written its record before.
    ///
    /// Then the record [describes](Self::record_describes) it: an owner that leaves an odd sequence
    /// behind dies or abandons the lock, and the next owner finds DIED set.
    #[must_use]
    #[inline]
    pub fn record_names(self, me: Token) -> bool {
        // Partner: as in `record_describes`. Relaxed.
        self.words().record_token.load(Relaxed) == me.get()
    }

    /// Writes the record. Only the owner calls it.
    ///
    /// *If we die here:* the sequence stays odd, and readers find no record; the next writer makes
    /// it even.
    #[cold] // not on the path of an undisturbed acquisition
    pub fn write_record<F: Fence>(self, me: Token, record: &Record, fence: F) {
        self.write_encoded(me, &EncodedRecord::new(record), record.since, fence);
    }

    /// Writes a record that was encoded before, for an owner that writes the same one repeatedly.
    /// Only the owner calls it.
    ///
    /// *If we die here:* as in [`write_record`](Self::write_record).
    pub fn write_encoded<F: Fence>(self, me: Token, record: &EncodedRecord, since: u64, fence: F) {
        let words = self.words();
        // Relaxed: only owners write it, and the owner word orders them.
        let writing = words.record_sequence.load(Relaxed).wrapping_add(1) | 1;
        words.record_sequence.store(writing, Relaxed);
        // Pairs with the second `acquire` in `record_of`.
        fence.release(); // a reader that sees new words sees it odd
        words.record_token.store(me.get(), Relaxed);
        for (word, &bits) in words.uuid.iter().zip(&record.uuid) {
            word.store(bits, Relaxed);
        }
        words.pid.store(record.pid, Relaxed);
        words.pid_namespace.store(record.pid_namespace, Relaxed);
        for (word, &half) in words.since.iter().zip(&halves(since)) {
            word.store(half, Relaxed);
        }
        let ([first, ..], [new, ..]) = (&words.description, &record.description);
        let before = first.load(Relaxed);
        let filled = words_filled(before).max(words_filled(*new));
        if filled > 1 || before != *new {
            self.write_description(record, filled);
        }
        // Pairs with the first `acquire` in `record_of`.
        fence.release(); // a reader that sees it even sees all words
        words.record_sequence.store(writing.wrapping_add(1), Relaxed);
    }

    /// Writes the first `filled` words of the description. Called between the fences of
    /// [`write_encoded`](Self::write_encoded).
    fn write_description(self, record: &EncodedRecord, filled: usize) {
        let words = self.words().description.iter().zip(&record.description);
        for (word, &bits) in words.take(filled) {
            // Most owners write the same text as the one before. Without a store, this cache line
            // need not move.
            if word.load(Relaxed) != bits {
                word.store(bits, Relaxed);
            }
        }
    }

    /// Returns the owner and its record; `None` if the lock is free. Changes nothing. Any caller,
    /// at any time.
    #[must_use]
    pub fn holder<F: Fence>(self, fence: F) -> Option<Holder> {
        let mut token = self.word().owner()?;
        for _ in 0..READ_ATTEMPTS {
            let record = self.record_of(token, fence);
            let now = self.word().owner()?;
            if now == token && record.is_some() {
                return Some(Holder { token, record });
            }
            token = now;
            spin_loop();
        }
        Some(Holder { token, record: None })
    }

    /// Returns the record if it describes `owner` and is whole, whatever the owner word names. Any
    /// caller, at any time.
    #[must_use]
    pub fn record_of<F: Fence>(self, owner: Token, fence: F) -> Option<Record> {
        let words = self.words();
        let before = words.record_sequence.load(Relaxed); // partner: last store of `write_encoded`
        fence.acquire(); // pairs with the second `release` in `write_encoded`
        let token = words.record_token.load(Relaxed);
        let mut uuid = [0; 16];
        read_bytes(&mut uuid, &words.uuid);
        let pid = words.pid.load(Relaxed);
        let pid_namespace = words.pid_namespace.load(Relaxed);
        let mut since = [0; 8];
        read_bytes(&mut since, &words.since);
        let mut description = [0; DESCRIPTION_MAX + 1];
        read_bytes(&mut description, &words.description);
        fence.acquire(); // pairs with the first `release` in `write_encoded`
        let after = words.record_sequence.load(Relaxed); // partner: first store of `write_encoded`
        let whole = before == after && before % 2 == 0;
        (whole && token == owner.get()).then(|| Record {
            uuid: Uuid::from_bytes(uuid),
            pid,
            pid_namespace,
            since: u64::from_le_bytes(since),
            description: decode_description(&description),
        })
    }
}

fn read_bytes(bytes: &mut [u8], words: &[AtomicU32]) {
    for (chunk, word) in bytes.chunks_exact_mut(4).zip(words) {
        // Partner: `write_encoded`, ordered by the two fences of the caller.
        chunk.copy_from_slice(&word.load(Relaxed).to_le_bytes());
    }
}

/// Decodes the description. Total: a length beyond the field, or bytes that are not UTF-8, read as
/// no description.
fn decode_description(bytes: &[u8; DESCRIPTION_MAX + 1]) -> Description {
    let [len, text @ ..] = bytes;
    text.get(..usize::from(*len))
        .and_then(|text| core::str::from_utf8(text).ok())
        .and_then(|text| Description::try_from(text).ok())
        .unwrap_or_default()
}
