//! Defines the token: the number that names an owner, and that exactly one living handle has.

use core::fmt;
use core::num::{NonZeroU16, NonZeroU32};

/// The token part of a free word.
pub const NO_OWNER: u32 = 0;

/// The largest static token.
pub const STATIC_MAX: u32 = u16::MAX as u32;
/// The smallest living token.
pub const LIVING_MIN: u32 = STATIC_MAX + 1;
/// The largest living token: one below the largest 30-bit value, which is reserved.
pub const LIVING_MAX: u32 = RESERVED - 1;
/// The reserved token.
const RESERVED: u32 = (1 << 30) - 1;

/// The name of one owner: a non-zero number of 30 bits.
///
/// The protocol is correct as long as **no two living handles on one region have the same token**.
/// The [range](TokenRange) of a token tells which party ensures that.
///
/// # Examples
/// ```
/// use core::num::NonZeroU16;
/// use shmlock_core::Token;
/// use shmlock_core::token::InvalidToken;
///
/// let token = Token::from(NonZeroU16::MIN);
/// assert_eq!(Token::try_from(1), Ok(token));
/// assert_eq!(Token::try_from(0), Err(InvalidToken { number: 0 }));
/// assert_eq!(u32::from(token), 1);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Token(NonZeroU32);

/// The part of the numbers that a token belongs to: it tells which party assigns the token, and
/// which party knows whether its owner lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum TokenRange {
    /// 1..=65535: assigned by the embedder, one to each core, task or boot loader. Only the
    /// embedder knows whether its owner lives; the Linux shell never takes such an owner for dead.
    /// In an [`EpochRegion`](crate::EpochRegion) each is of one boot of a core, and the
    /// [`roll`](crate::roll) knows.
    Static,
    /// 65536..=2^30-2: drawn at random by a process that holds the kernel's proof that no other
    /// process has the same number.
    Living,
    /// 2^30-1: never assigned. A word that names it was overwritten.
    Reserved,
}

impl Token {
    /// Returns the static token with this number, as the embedder assigned it.
    #[must_use]
    pub const fn from_static(number: NonZeroU16) -> Self {
        // Widening keeps it non-zero, so the alternative is never taken; `NonZero::from` is not
        // const.
        match NonZeroU32::new(number.get() as u32) {
            Some(number) => Self(number),
            None => Self(NonZeroU32::MIN),
        }
    }

    /// Returns the living token with this number; `None` outside [`LIVING_MIN`]..=[`LIVING_MAX`].
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

    /// Returns the number itself.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// Returns the range of this token.
    #[must_use]
    pub const fn range(self) -> TokenRange {
        match self.get() {
            ..=STATIC_MAX => TokenRange::Static,
            LIVING_MIN..=LIVING_MAX => TokenRange::Living,
            _ => TokenRange::Reserved,
        }
    }
}

/// The static token with this number.
impl From<NonZeroU16> for Token {
    fn from(number: NonZeroU16) -> Self {
        Self::from_static(number)
    }
}

/// The token that a word with this token part names, of whatever [range](Token::range). It proves
/// nothing: a contender uses only the token that was assigned to it.
impl TryFrom<u32> for Token {
    type Error = InvalidToken;

    fn try_from(number: u32) -> Result<Self, InvalidToken> {
        match Self::decode(number) {
            Some(token) if number <= RESERVED => Ok(token),
            _ => Err(InvalidToken { number }),
        }
    }
}

/// The error of a number that no word can name as its owner: 0, or more than 30 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct InvalidToken {
    /// The number.
    pub number: u32,
}

impl fmt::Display for InvalidToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not a token; use a number from 1 to {RESERVED}", self.number)
    }
}

impl core::error::Error for InvalidToken {}

impl From<Token> for u32 {
    fn from(token: Token) -> Self {
        token.get()
    }
}

impl From<Token> for NonZeroU32 {
    fn from(token: Token) -> Self {
        token.0
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
