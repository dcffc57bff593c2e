//! Stores the owner word in one byte, so that millions of worlds fit into memory.
//!
//! [`Word`] alone interprets the word: the byte is only another encoding of the same 32 bits.

use shmlock_core::token::LIVING_MIN;
use shmlock_core::{Token, Word};

/// The number of a living token, from 1 up for [`LIVING_MIN`]; 0 for none.
pub(crate) type TokenNumber = u8;

/// The number of tokens: more than can be in use at once, own and adopted ones of four processes.
pub(crate) const TOKENS: TokenNumber = 8;

/// Returns the token with this number.
pub(crate) fn token(number: TokenNumber) -> Token {
    Token::living(LIVING_MIN - 1 + u32::from(number)).expect("the first living tokens")
}

/// Returns the number of this token.
pub(crate) fn number_of(token: Token) -> TokenNumber {
    (1..=TOKENS).find(|&number| self::token(number) == token).expect("one of the tokens given out")
}

/// One value of the owner word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Squeezed(u8);

/// The first living token, after [`rotated`]; smaller values have no token.
const FIRST: u32 = LIVING_MIN << 2;

/// Rotates the flags to the lowest two bits.
fn rotated(bits: u32) -> u32 {
    bits.rotate_left(2)
}

impl From<Word> for Squeezed {
    fn from(word: Word) -> Self {
        let rotated = rotated(word.bits());
        let small = rotated.checked_sub(FIRST).map_or(rotated, |above| above + 4);
        Self(u8::try_from(small).expect("a word that the protocol can make"))
    }
}

impl From<Squeezed> for Word {
    fn from(squeezed: Squeezed) -> Self {
        let small = u32::from(squeezed.0);
        let rotated = small.checked_sub(4).map_or(small, |above| above + FIRST);
        Self::from_bits(rotated.rotate_right(2))
    }
}

impl Squeezed {
    /// The word of an untouched file.
    pub(crate) const FREE: Self = Self(0);

    /// Returns the token that the word names; 0 if it is free.
    pub(crate) fn owner(self) -> TokenNumber {
        Word::from(self).owner().map_or(0, number_of)
    }

    /// Returns `true` if it names this token, which may be 0.
    pub(crate) fn names(self, number: TokenNumber) -> bool {
        number != 0 && Word::from(self).is_owned_by(token(number))
    }

    /// Compares and swaps.
    pub(crate) fn swap(&mut self, seen: Self, new: Word) -> Result<(), Self> {
        if *self != seen {
            return Err(*self);
        }
        *self = new.into();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_that_can_occur_survives_being_squeezed() {
        let free = [Word::FREE, Word::FREE.abandoned()];
        let held = (1..=TOKENS).flat_map(|number| free.map(|word| word.acquired_by(token(number))));
        let all: Vec<Word> =
            free.into_iter().chain(held).flat_map(|word| [word, word.with_waiters()]).collect();
        for &word in &all {
            assert_eq!(Word::from(Squeezed::from(word)), word);
        }
        let mut bytes: Vec<u8> = all.iter().map(|&word| Squeezed::from(word).0).collect();
        bytes.sort_unstable();
        bytes.dedup();
        assert_eq!(bytes.len(), all.len(), "two words have one byte");
    }
}
