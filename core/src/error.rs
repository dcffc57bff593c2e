//! Defines the errors of the core. Each carries what was found; its message says what to do.

use core::fmt;

use crate::layout::{
    DESCRIPTION_MAX, EPOCH_VERSION, LAYOUT_VERSION, Magic, REGION_ALIGN, REGION_LEN, ROLL_VERSION,
    is_magic_of_lock, roll_len,
};
use crate::ticket::layout::LINE_LEN;
use crate::word::Word;

/// Every error of this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Error {
    /// The region does not start at a multiple of four.
    Misaligned {
        /// Its address modulo [`REGION_ALIGN`].
        remainder: usize,
    },
    /// The region has fewer than 128 bytes; for a ticket lock, 64 more for each party.
    TooShort {
        /// Its length in bytes.
        len: usize,
    },
    /// The magic word is neither zero nor that of a lock. Nothing was written.
    NotALock {
        /// The word at offset 8.
        found: u32,
    },
    /// The region is a lock of another layout version. Nothing was written.
    OtherVersion {
        /// Its layout version.
        found: u8,
    },
    /// The static tokens of the lock are plain, and the handle or its proof of death is of boots.
    /// Nothing was written.
    PlainTokens,
    /// The memory is neither zero nor a roll. Nothing was written.
    NotARoll {
        /// The word at offset 8.
        found: u32,
    },
    /// The memory is a roll of another layout version. Nothing was written.
    OtherRollVersion {
        /// Its layout version.
        found: u8,
    },
    /// The memory has no room for a roll of one slot.
    RollTooShort {
        /// Its length in bytes.
        len: usize,
    },
    /// The roll does not have this slot.
    NoSuchSlot {
        /// The slot.
        slot: u8,
        /// The largest slot of the roll.
        slots: u8,
    },
    /// The memory is a ticket lock for another number of parties. Nothing was written.
    OtherParties {
        /// Its number of parties.
        found: u8,
    },
    /// A ticket lock has no party of this number.
    NoSuchParty {
        /// The number given.
        party: u16,
        /// The number of parties; they are counted from 1.
        parties: u8,
    },
    /// The wait gave up before the lock was free. A call that does not wait returns `None` or
    /// `false` instead.
    Busy {
        /// The word last seen.
        seen: Word,
    },
    /// The handle is in the middle of another call, and this call comes from inside it: from its
    /// `Wait`, its `Liveness`, its `Fence`, or an interrupt handler. Nothing was changed.
    InUse,
    /// The handle holds the lock already, and an asynchronous call does not nest: the hold may be
    /// another task's.
    AlreadyHeld,
    /// The handle does not hold the lock.
    NotHeld,
    /// Only guards of this handle hold the lock, and `release` ends no guard.
    GuardsAlive {
        /// The number of guards.
        guards: u32,
    },
    /// The word does not name this handle although it holds the lock: the region was written to
    /// from outside the protocol. The word was left as it is, for it may name another owner.
    Overwritten {
        /// The word found.
        found: Word,
    },
    /// The handle holds the lock 65534 times already.
    NestingTooDeep,
    /// A description of more than 63 bytes.
    DescriptionTooLong {
        /// Its length in bytes.
        len: usize,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Misaligned { remainder } => {
                write!(
                    f,
                    "the region is {remainder} bytes past a multiple of {REGION_ALIGN}; align it"
                )
            }
            Self::TooShort { len } => write!(
                f,
                "the memory has {len} bytes; a lock needs {REGION_LEN}, a ticket lock {LINE_LEN} \
                 more for each party"
            ),
            Self::NotALock { found } => not_a_lock(f, found),
            Self::OtherVersion { found: EPOCH_VERSION } => f.write_str(
                "the static tokens of the lock are of boots, and the handle's is not; attach the \
                 handle with a boot of the lock's roll, or stop all parties and clear the region \
                 to zero",
            ),
            Self::OtherVersion { found } => write!(
                f,
                "the region has layout version {found}, this crate speaks version \
                 {LAYOUT_VERSION}; use one version on all sides"
            ),
            Self::PlainTokens => f.write_str(
                "the static tokens of the lock are plain, and the handle or its proof of death is \
                 of boots; use a plain token and another proof, or stop all parties and clear the \
                 region to zero",
            ),
            Self::NotARoll { found } if is_magic_of_lock(found) => f.write_str(
                "the memory holds a lock; a roll of boots lies beside the locks, in memory of \
                 its own",
            ),
            Self::NotARoll { found } => write!(
                f,
                "the memory holds something other than a roll of boots (magic word {found:#010x}); \
                 point to memory of its own; if the content is garbage, stop all parties and clear \
                 it to zero"
            ),
            Self::OtherRollVersion { found } => write!(
                f,
                "the roll of boots has layout version {found}, this crate speaks version \
                 {ROLL_VERSION}; use one version on all sides"
            ),
            Self::RollTooShort { len } => write!(
                f,
                "the roll of boots has {len} bytes; give it {}, and {} more for each further slot",
                roll_len(1),
                roll_len(1) - roll_len(0)
            ),
            Self::NoSuchSlot { slot, slots } => write!(
                f,
                "the roll of boots has no slot {slot}, only 1 to {slots}; make the roll longer, or \
                 use another slot"
            ),
            Self::OtherParties { found } => write!(
                f,
                "the memory is a ticket lock of {found} parties; use one number of parties on all \
                 sides"
            ),
            Self::NoSuchParty { party, parties } => {
                write!(f, "there is no party {party}; use a number from 1 to {parties}")
            }
            Self::Busy { seen } => {
                write!(f, "the lock is not free ({seen:?}); wait longer or try again")
            }
            Self::InUse => f.write_str(
                "the handle is in the middle of another call; wait until that has returned, or use \
                 the handle of another contender",
            ),
            Self::AlreadyHeld => f.write_str(
                "the handle already holds the lock, perhaps for another task; release it first, or \
                 let each task be a contender of its own",
            ),
            Self::NotHeld => f.write_str("the handle does not hold the lock; acquire it first"),
            Self::GuardsAlive { guards } => {
                write!(f, "only guards of the handle hold the lock ({guards}); drop them instead")
            }
            Self::Overwritten { found } => write!(
                f,
                "the owner word was overwritten while the handle held the lock (now {found:?}); \
                 find what else writes to the region"
            ),
            Self::NestingTooDeep => {
                f.write_str("the lock is nested too deeply in the handle; release it more often")
            }
            Self::DescriptionTooLong { len } => {
                write!(f, "the description has {len} bytes; shorten it to {DESCRIPTION_MAX}")
            }
        }
    }
}

/// Writes what lies in the place of the lock that was wanted, by the word at offset 8.
fn not_a_lock(f: &mut fmt::Formatter<'_>, found: u32) -> fmt::Result {
    match (Magic::decode(found), found.to_le_bytes()) {
        (Magic::Ours | Magic::OtherVersion(_), _) => f.write_str(
            "the memory holds a lock of one word; attach to it as a `Region` on all sides, or give \
             the ticket lock memory of its own",
        ),
        (_, [b'T', b'K', parties, _]) => write!(
            f,
            "the memory holds a ticket lock of {parties} parties; attach to it as that on all \
             sides, or give the lock memory of its own"
        ),
        (_, [b'S', b'H', b'R', _]) => f.write_str(
            "the memory holds a roll of boots; give the lock memory of its own, beside the roll",
        ),
        _ => write!(
            f,
            "the memory holds something other than a lock (magic word {found:#010x}); point to \
             memory of its own; if the content is garbage, stop all parties and clear it to zero"
        ),
    }
}

impl core::error::Error for Error {}
