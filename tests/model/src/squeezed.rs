//! The owner word in one byte, so that millions of worlds fit into memory.
//!
//! What a word *means* stays with [`Word`]: the byte is only another way to write the same 32 bits
//! down.

use shmlock_core::token::LIVING_MIN;
use shmlock_core::{Token, Word};

/// A number from 1 up, for a living token from [`LIVING_MIN`] up; 0 for none.
pub(crate) type TokenNumber = u8;

/// How many tokens there are. More than can be in use at once: own ones and adopted ones of four
/// processes.
pub(crate) const TOKENS: TokenNumber = 8;

/// The token with this number.
pub(crate) fn token(number: TokenNumber) -> Token {
    Token::living(LIVING_MIN - 1 + u32::from(number)).expect("the first living tokens")
}

/// The number of this token.
pub(crate) fn number_of(token: Token) -> TokenNumber {
    (1..=TOKENS).find(|&number| self::token(number) == token).expect("one of the tokens given out")
}

/// One value of the owner word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Squeezed(u8);

/// The first living token, after [`rotated`]; what is smaller has no token.
const FIRST: u32 = LIVING_MIN << 2;

/// The flags become the lowest two bits.
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

    /// Whom the word names; 0 if it is free.
    pub(crate) fn owner(self) -> TokenNumber {
        Word::from(self).owner().map_or(0, number_of)
    }

    /// Whether it names this token, which may be 0.
    pub(crate) fn names(self, number: TokenNumber) -> bool {
        number != 0 && Word::from(self).is_owned_by(token(number))
    }

    /// One compare-and-swap.
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
