//! Who owns: a number that exactly one living handle has.

use core::fmt;
use core::num::{NonZeroU16, NonZeroU32};

/// The token part of a free word.
pub const NO_OWNER: u32 = 0;

/// Largest fixed token.
pub const STATIC_MAX: u32 = u16::MAX as u32;
/// Smallest living token.
pub const LIVING_MIN: u32 = STATIC_MAX + 1;
/// Largest living token. One below the largest 30-bit value, which nobody is ever given.
pub const LIVING_MAX: u32 = (1 << 30) - 2;

/// Names one owner: a non-zero number of 30 bits.
///
/// The protocol is right as long as **no two living handles on one region have the same token**.
/// Who sees to that depends on the [range](TokenRange).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Token(NonZeroU32);

/// Who gives a token out, and who can tell whether its owner lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum TokenRange {
    /// 1..=65535: given out by the embedder, one to each core, task or boot loader. Whether its
    /// owner lives is the embedder's knowledge; the Linux shell does not have it and never takes
    /// such an owner for dead.
    Static,
    /// 65536..=2^30-2: drawn at random by a process that holds the kernel's proof of being the only
    /// one.
    Living,
    /// 2^30-1: given to nobody. It stands in a word only if somebody wrote garbage there.
    Reserved,
}

impl Token {
    /// A token that the embedder gives out.
    #[must_use]
    pub const fn from_static(number: NonZeroU16) -> Self {
        // Widening keeps it non-zero, so the alternative is never taken; `NonZero::from` is not
        // const.
        match NonZeroU32::new(number.get() as u32) {
            Some(number) => Self(number),
            None => Self(NonZeroU32::MIN),
        }
    }

    /// A token of the living range; `None` outside [`LIVING_MIN`]..=[`LIVING_MAX`].
    #[must_use]
    pub const fn living(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(token) if number >= LIVING_MIN && number <= LIVING_MAX => Some(Self(token)),
            _ => None,
        }
    }

    /// Decodes the token part of a word. Total over what 30 bits can hold: `None` is [`NO_OWNER`].
    pub(crate) const fn decode(bits: u32) -> Option<Self> {
        match NonZeroU32::new(bits) {
            Some(token) => Some(Self(token)),
            None => None,
        }
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// Which range it belongs to.
    #[must_use]
    pub const fn range(self) -> TokenRange {
        match self.get() {
            ..=STATIC_MAX => TokenRange::Static,
            LIVING_MIN..=LIVING_MAX => TokenRange::Living,
            _ => TokenRange::Reserved,
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({})", self.get())
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
