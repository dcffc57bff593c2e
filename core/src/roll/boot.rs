//! Defines slots and boots as values, and the token that a boot has.
//!
//! ```text
//!  15      10 9                0
//! +----------+------------------+
//! | slot     | epoch            |   a static token: 1024..=65535
//! +----------+------------------+
//! ```
//!
//! The slot is 1 to 63: no epoch token is below 1024. The epoch is the low part of the number of
//! the boot.

use core::fmt;
use core::num::{NonZeroU8, NonZeroU16, NonZeroU32};

use crate::layout::SLOT_MAX;
use crate::token::{Token, TokenRange};

/// The number of epochs of one slot. After this number of boots, a token comes back.
pub const EPOCHS: u32 = 1 << EPOCH_BITS;

const EPOCH_BITS: u32 = 10;

/// The place of one core in a [`Roll`](super::Roll): 1 to 63.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Slot(NonZeroU8);

impl Slot {
    /// Returns the slot with this number; `None` outside 1..=[`SLOT_MAX`].
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        match NonZeroU8::new(number) {
            Some(slot) if number <= SLOT_MAX => Some(Self(slot)),
            _ => None,
        }
    }

    /// Returns the number itself.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0.get()
    }

    /// Splits an epoch token into its slot and its epoch. `None` for every other token.
    ///
    /// A plain static token from 1024 on reads as an epoch token: the two never mix in one region.
    #[must_use]
    pub fn of_token(token: Token) -> Option<(Self, u16)> {
        if token.range() != TokenRange::Static {
            return None;
        }
        let slot = u8::try_from(token.get() >> EPOCH_BITS).ok().and_then(Self::new)?;
        u16::try_from(token.get() % EPOCHS).ok().map(|epoch| (slot, epoch))
    }

    /// Returns the index of the slot among the slots of a roll.
    pub(super) const fn index(self) -> usize {
        self.get() as usize - 1
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The name of one boot: the slot of its core, and its number among the boots of that core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BootId {
    slot: Slot,
    number: NonZeroU32,
}

impl BootId {
    /// Returns the boot with this number; `None` for 0. It says nothing about whether the boot has
    /// begun.
    #[must_use]
    pub fn new(slot: Slot, number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(|number| Self { slot, number })
    }

    /// Returns the boot after the one with this number. The largest is followed by 1.
    pub(super) fn after(slot: Slot, number: u32) -> Self {
        let next = number.checked_add(1).and_then(NonZeroU32::new);
        Self { slot, number: next.unwrap_or(NonZeroU32::MIN) }
    }

    /// Returns the slot.
    #[must_use]
    pub const fn slot(self) -> Slot {
        self.slot
    }

    /// Returns the number of the boot: the first one is 1.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.number.get()
    }

    /// Returns the epoch of the boot.
    #[must_use]
    pub const fn epoch(self) -> u16 {
        (self.number() % EPOCHS) as u16
    }

    /// Returns the token of the boot.
    #[must_use]
    pub const fn token(self) -> Token {
        // Not zero, for the slot is not; `NonZero` has no const arithmetic.
        match NonZeroU16::new((self.slot.get() as u16) << EPOCH_BITS | self.epoch()) {
            Some(number) => Token::from_static(number),
            None => Token::from_static(NonZeroU16::MAX),
        }
    }
}

/// The present boot of this core. It proves that all boots before are over, and it is the right to
/// use its token.
///
/// It cannot be copied. [`Roll::begin_boot`](super::Roll::begin_boot) returns it, once for each
/// start of the core. [`resume`](Self::resume) and
/// [`Roll::resume_boot`](super::Roll::resume_boot) return it again.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the boot has begun, and its token is for the handles of this core"]
pub struct Boot(BootId);

impl Boot {
    pub(super) const fn begun(id: BootId) -> Self {
        Self(id)
    }

    /// Returns the present boot of this core again, for example in a program whose boot loader has
    /// begun it.
    ///
    /// **The caller knows that the boot is the present one of this core.** With another boot, two
    /// owners are possible.
    pub const fn resume(id: BootId) -> Self {
        Self(id)
    }

    /// Returns the name of the boot.
    #[must_use]
    pub const fn id(&self) -> BootId {
        self.0
    }
}

/// Returns `true` if the words of a slot prove that the boot with this epoch is over. Total.
///
/// `boots` is the number of the present boot. The boot that had the epoch last is `boots` itself or
/// one of the 1023 before; a number below 1 says that the slot has not had the epoch yet.
pub(super) fn is_over(epoch: u16, boots: u32, retired: u32) -> bool {
    let boots_since = boots.wrapping_sub(u32::from(epoch)) % EPOCHS;
    match boots_since {
        0 => boots != 0 && retired == boots,
        since => since < boots,
    }
}
