//! Who holds it, since when, why; and how often it has been held.
//!
//! The record is **advisory**: it is written by the holder after it has the word, and nothing of
//! the protocol depends on it. A reader gets it whole or not at all. Two words see to that: the
//! record's *sequence* is odd while it is being written and different after every write, and the
//! record's *token* says whom it describes. A record counts only if the owner word names the same
//! token before and after the reading, and the sequence is even and the same.
//!
//! The owner word and the generation alone could not tell: between the taking swap and the new
//! owner's first write to the record, both stand still while the record is still the previous
//! owner's.
//!
//! An uncontended holder that comes again finds its own token in the record and writes nothing but
//! the generation. So *since* says when the present owner's unbroken series of holds began.

use core::fmt;

use uuid::Uuid;

use crate::encoded::{EncodedRecord, words_filled};
use crate::error::Error;
use crate::fence::Fence;
use crate::layout::DESCRIPTION_MAX;
use crate::region::Region;
use crate::sync::{AtomicU32, Relaxed, spin_loop};
use crate::token::Token;

/// Text of at most [`DESCRIPTION_MAX`] bytes.
pub type Description = heapless::String<DESCRIPTION_MAX>;

/// Turns text into a [`Description`].
///
/// # Errors
/// [`Error::DescriptionTooLong`].
///
/// # Examples
/// ```
/// use shmlock_core::{Error, record::description};
///
/// assert_eq!(description("motor control")?.as_str(), "motor control");
/// assert_eq!(description(&"x".repeat(64)), Err(Error::DescriptionTooLong { len: 64 }));
/// # Ok::<(), Error>(())
/// ```
pub fn description(text: &str) -> Result<Description, Error> {
    Description::try_from(text).map_err(|()| Error::DescriptionTooLong { len: text.len() })
}

/// What an owner says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Names the handle, for ever.
    pub uuid: Uuid,
    /// Process id, as seen in the owner's own pid namespace. 0 where there are no processes.
    pub pid: u32,
    /// Inode number of that namespace; 0 if unknown. A reader in another namespace must not use
    /// `pid`.
    pub pid_namespace: u32,
    /// Seconds of the boot-time clock at which the present unbroken series of holds began.
    pub since: u64,
    /// Why, in the owner's words. Empty if it said nothing.
    pub description: Description,
}

/// Who holds the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The token in the owner word.
    pub token: Token,
    /// What it says about itself. `None` if it had not written it yet, or was changing it all the
    /// while.
    pub record: Option<Record>,
}

/// How often a reader tries to get a record whole. Arbitrary, but more than enough: a record is
/// rewritten only when the lock changes hands, and reading takes less than that. A benchmark of
/// torn readings would change it.
const READ_ATTEMPTS: u32 = 16;

impl Region<'_> {
    /// Counts an acquisition. Only the holder calls it, right after it has the word.
    ///
    /// The count is the [fencing token](Self::fencing_token): it grows with every acquisition and
    /// never repeats. It is 64 bits wide although all words are 32: the high half is written first,
    /// so a death between the two skips numbers and never goes back.
    #[inline]
    pub fn count_acquisition<F: Fence>(self, fence: F) {
        let words = self.words();
        // Partner: the previous holder's stores here, made visible by the fences of the owner word.
        // Relaxed throughout.
        let low = words.generation.load(Relaxed).wrapping_add(1);
        if low == 0 {
            let high = words.generation_high.load(Relaxed).wrapping_add(1);
            words.generation_high.store(high, Relaxed);
            fence.release(); // should we die right after the low half: whoever sees that sees the high half, too
        }
        words.generation.store(low, Relaxed);
    }

    /// The fencing token of the present hold. Meaningful only to the holder.
    #[must_use]
    #[inline]
    pub fn fencing_token(self) -> u64 {
        let words = self.words();
        // Partner: `count_acquisition` by ourselves. Relaxed: the same thread.
        let high = u64::from(words.generation_high.load(Relaxed));
        high << 32 | u64::from(words.generation.load(Relaxed))
    }

    /// Whether the record describes `me` already. Only the holder calls it.
    #[must_use]
    #[inline]
    pub fn record_describes(self, me: Token) -> bool {
        let words = self.words();
        // Partner: `write_record` by ourselves or a previous holder, ordered by the owner word.
        // Relaxed.
        words.record_token.load(Relaxed) == me.get() && words.record_sequence.load(Relaxed) % 2 == 0
    }

    /// Writes the record. Only the holder calls it.
    ///
    /// *If we die here:* the sequence stays odd, which readers take for "not known"; the next
    /// writer makes it even.
    #[cold] // an undisturbed acquisition does not come here
    pub fn write_record<F: Fence>(self, me: Token, record: &Record, fence: F) {
        self.write_encoded(me, &EncodedRecord::new(record), record.since, fence);
    }

    /// As [`write_record`](Self::write_record), of what was encoded before: for whoever writes the
    /// same again and again.
    pub fn write_encoded<F: Fence>(self, me: Token, record: &EncodedRecord, since: u64, fence: F) {
        let words = self.words();
        // Relaxed: only holders write it, and they are ordered by the owner word.
        let writing = words.record_sequence.load(Relaxed).wrapping_add(1) | 1;
        words.record_sequence.store(writing, Relaxed);
        fence.release(); // pairs with the second `acquire` in `record_of`: who sees new words sees it odd
        words.record_token.store(me.get(), Relaxed);
        for (word, &bits) in words.uuid.iter().zip(&record.uuid) {
            word.store(bits, Relaxed);
        }
        words.pid.store(record.pid, Relaxed);
        words.pid_namespace.store(record.pid_namespace, Relaxed);
        for (word, half) in words.since.iter().zip(halves(since)) {
            word.store(half, Relaxed);
        }
        let [first, ..] = &words.description;
        let before = first.load(Relaxed);
        let filled = words_filled(before).max(record.description.len());
        if filled > 1 || record.description.first() != Some(&before) {
            self.write_description(record, filled);
        }
        fence.release(); // pairs with the first `acquire` in `record_of`: who sees it even sees all words
        words.record_sequence.store(writing.wrapping_add(1), Relaxed);
    }

    /// So many words of it. Called between the fences of [`write_encoded`](Self::write_encoded).
    fn write_description(self, record: &EncodedRecord, filled: usize) {
        let new = record.description.iter().copied().chain(core::iter::repeat(0));
        for (word, bits) in self.words().description.iter().take(filled).zip(new) {
            // Most say the same as the one before: then this cache line need not go from owner to
            // owner.
            if word.load(Relaxed) != bits {
                word.store(bits, Relaxed);
            }
        }
    }

    /// Who holds the lock; `None` if nobody. Changes nothing; anybody may call it at any time.
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

    /// The record, if it describes `owner` and is whole; whoever holds the lock now.
    #[must_use]
    pub fn record_of<F: Fence>(self, owner: Token, fence: F) -> Option<Record> {
        let words = self.words();
        let before = words.record_sequence.load(Relaxed); // partner: the last store of `write_record`
        fence.acquire(); // pairs with the second `release` in `write_record`
        let token = words.record_token.load(Relaxed);
        let mut uuid = [0; 16];
        read_bytes(&mut uuid, &words.uuid);
        let pid = words.pid.load(Relaxed);
        let pid_namespace = words.pid_namespace.load(Relaxed);
        let mut since = [0; 8];
        read_bytes(&mut since, &words.since);
        let mut description = [0; DESCRIPTION_MAX + 1];
        read_bytes(&mut description, &words.description);
        fence.acquire(); // pairs with the first `release` in `write_record`
        let after = words.record_sequence.load(Relaxed); // partner: the first store of `write_record`
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

/// The low half and the high one.
#[expect(clippy::cast_possible_truncation, reason = "a half is what is left")]
const fn halves(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

fn read_bytes(bytes: &mut [u8], words: &[AtomicU32]) {
    for (chunk, word) in bytes.chunks_exact_mut(4).zip(words) {
        // Partner: `write_record`; ordered by the two fences of the caller.
        chunk.copy_from_slice(&word.load(Relaxed).to_le_bytes());
    }
}

/// Total: a length beyond the field or bytes that are not UTF-8 read as no description.
fn decode_description(bytes: &[u8; DESCRIPTION_MAX + 1]) -> Description {
    let [len, text @ ..] = bytes;
    text.get(..usize::from(*len))
        .and_then(|text| core::str::from_utf8(text).ok())
        .and_then(|text| Description::try_from(text).ok())
        .unwrap_or_default()
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(record) = &self.record else {
            return write!(f, "token {} (its record is not readable)", self.token);
        };
        write!(f, "pid {}, uuid {}", record.pid, record.uuid)?;
        if !record.description.is_empty() {
            // Escaped: the bytes are another process's, and this text goes to terminals.
            write!(f, ", \"{}\"", record.description.escape_debug())?;
        }
        Ok(())
    }
}

// By hand: the types of the other crates in here have no `defmt` of this version. The text is not
// escaped, which is for the host that prints it: it may be hostile.
#[cfg(feature = "defmt")]
impl defmt::Format for Record {
    fn format(&self, f: defmt::Formatter<'_>) {
        let (uuid, description) = (self.uuid.as_bytes(), self.description.as_str());
        defmt::write!(
            f,
            "pid {=u32}, uuid {=[u8; 16]:02x}, since {=u64} s, {=str}",
            self.pid,
            *uuid,
            self.since,
            description
        );
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Holder {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}: {}", self.token, self.record);
    }
}
