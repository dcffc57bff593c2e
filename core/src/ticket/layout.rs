//! Defines the memory of a ticket lock: 128 bytes written under the lock, then a line of 64 bytes
//! for each party.
//!
//! The first 128 bytes have the [layout](crate::layout) of the other lock, with another magic word.
//! *Recoveries* is *declared* here: the sum of the deaths whose damage has been declared repaired.
//! The owner word stays 0.
//!
//! | offset in a line | word | written by |
//! |---:|---|---|
//! | 0 | choosing: 0, or the party draws a number | the party |
//! | 8 | number, 0 = the party does not contend | the party |
//! | 16 | [section](crate::ticket::Section): INSIDE, and the deaths inside so far | the party |
//! | 24 | life: +1 each time the party begins one, wraps | the party |
//! | 56 | buried: 1 + the last life that was proven dead, 0 = none | the party's supervisor |
//!
//! All zero is a valid, free lock. No two words of a line share eight aligned bytes: a Cortex-A9
//! may write a word of uncacheable memory twice if a store to the other half follows without a
//! barrier (erratum 794074, Arm UAN 0009).

#[cfg(not(loom))]
use core::mem::{align_of, offset_of, size_of};

use crate::layout::{EPOCH_VERSION, REGION_LEN, Words};
use crate::sync::AtomicU32;

/// The layout version of the ticket lock that this crate reads and writes.
pub const TICKET_VERSION: u8 = 1;

/// Bytes of the line of one party.
pub const LINE_LEN: usize = 64;

/// The fewest parties of a ticket lock.
pub const PARTIES_MIN: usize = 2;

/// The most parties of a ticket lock.
pub const PARTIES_MAX: usize = 8;

/// Returns the bytes of a ticket lock for this many parties.
#[must_use]
pub const fn ticket_len(parties: usize) -> usize {
    REGION_LEN + parties * LINE_LEN
}

/// Returns the magic word of a ticket lock in use: the bytes `T`, `K`, the number of parties, and
/// the layout version.
#[must_use]
pub const fn ticket_magic(parties: u8) -> u32 {
    u32::from_le_bytes([b'T', b'K', parties, TICKET_VERSION])
}

/// The meaning of the magic word to a party that knows the number of parties. Total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TicketMagic {
    /// All zero: this memory has not been used as a lock yet.
    Untouched,
    /// A ticket lock for this many parties.
    Ours,
    /// A ticket lock for another number of parties.
    OtherParties(u8),
    /// A ticket lock of another layout version.
    OtherVersion(u8),
    /// No ticket lock.
    Foreign,
}

impl TicketMagic {
    /// Decodes the word at offset 8.
    pub(crate) const fn decode(word: u32, parties: u8) -> Self {
        if word == 0 {
            return Self::Untouched;
        }
        match word.to_le_bytes() {
            [b'T', b'K', found, TICKET_VERSION] if found == parties => Self::Ours,
            [b'T', b'K', found, TICKET_VERSION] => Self::OtherParties(found),
            // That number means epoch tokens in the other lock: the error would advise on these.
            [b'T', b'K', _, found] if found != EPOCH_VERSION => Self::OtherVersion(found),
            _ => Self::Foreign,
        }
    }
}

/// The unused words between two words of a line: none under loom, where each would cost time.
const GAP: usize = if cfg!(loom) { 0 } else { 1 };
const WIDE_GAP: usize = if cfg!(loom) { 0 } else { 7 };

/// The line of one party.
#[repr(C)]
#[derive(Debug)]
#[cfg_attr(loom, derive(Default))]
pub(crate) struct Line {
    pub(crate) choosing: AtomicU32,
    _after_choosing: [AtomicU32; GAP],
    pub(crate) number: AtomicU32,
    _after_number: [AtomicU32; GAP],
    pub(crate) section: AtomicU32,
    _after_section: [AtomicU32; GAP],
    pub(crate) life: AtomicU32,
    _after_life: [AtomicU32; WIDE_GAP],
    pub(crate) buried: AtomicU32,
    _after_buried: [AtomicU32; GAP],
}

/// The words of a ticket lock, as they stand in memory. Only `region.rs` turns an address into
/// them.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct TicketWords<const N: usize> {
    /// Written under the lock, except the magic.
    pub(crate) shared: Words,
    pub(crate) lines: [Line; N],
}

#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<Line>() == LINE_LEN);
    assert!(align_of::<Line>() == 4);
    assert!(offset_of!(Line, choosing) == 0);
    assert!(offset_of!(Line, number) == 8);
    assert!(offset_of!(Line, section) == 16);
    assert!(offset_of!(Line, life) == 24);
    assert!(offset_of!(Line, buried) == 56);
    assert!(size_of::<TicketWords<3>>() == ticket_len(3));
    assert!(offset_of!(TicketWords<3>, lines) == REGION_LEN);
};

#[cfg(not(loom))]
impl Line {
    const fn zeroed() -> Self {
        Self {
            choosing: AtomicU32::new(0),
            _after_choosing: [const { AtomicU32::new(0) }; GAP],
            number: AtomicU32::new(0),
            _after_number: [const { AtomicU32::new(0) }; GAP],
            section: AtomicU32::new(0),
            _after_section: [const { AtomicU32::new(0) }; GAP],
            life: AtomicU32::new(0),
            _after_life: [const { AtomicU32::new(0) }; WIDE_GAP],
            buried: AtomicU32::new(0),
            _after_buried: [const { AtomicU32::new(0) }; GAP],
        }
    }
}

impl<const N: usize> TicketWords<N> {
    #[cfg(not(loom))]
    pub(crate) const fn zeroed() -> Self {
        Self { shared: Words::zeroed(), lines: [const { Line::zeroed() }; N] }
    }

    /// Loom makes its atomics at run time.
    #[cfg(loom)]
    pub(crate) fn zeroed() -> Self {
        Self { shared: Words::default(), lines: core::array::from_fn(|_| Line::default()) }
    }
}
