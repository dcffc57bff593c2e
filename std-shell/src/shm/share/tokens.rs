//! Hands out the tokens of a block, each to one handle at a time.
//!
//! Without a mutex: a handle may be closed wherever code runs, and a fork may interrupt any step. A
//! child has no use for its parent's blocks.

use std::sync::atomic::Ordering::{AcqRel, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

use shmlock_core::Token;

/// Tokens in a row, all of whose life bytes one description holds.
#[derive(Debug)]
pub(super) struct TokenBlock {
    first: Token,
    len: u32,
    /// A bit for each token: a handle has it. Empty for a single token.
    taken: Vec<AtomicU64>,
    /// Where the next search begins: a token rests for as long as possible, so that its former
    /// handle's record is not taken for that of the next.
    next: AtomicU32,
}

const BITS: u32 = u64::BITS;

impl TokenBlock {
    /// Makes a block of which the first token is taken. `len` is 1, or a multiple of 64.
    pub(super) fn new(first: Token, len: u32) -> Self {
        let words = (0..len / BITS).map(|word| AtomicU64::new(u64::from(word == 0)));
        Self { first, len, taken: words.collect(), next: AtomicU32::new(1) }
    }

    /// Returns `true` if handles can share the attachment.
    pub(super) fn is_shared(&self) -> bool {
        self.len > 1
    }

    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Takes a token; `None` if all are taken.
    pub(super) fn take(&self) -> Option<Token> {
        let begin = self.next.load(Relaxed); // partner: the store below. Relaxed: a hint
        let words = u32::try_from(self.taken.len()).ok()?;
        // The word in which the search begins comes twice: from the bit on, and whole.
        for step in 0..=words {
            let word = (begin / BITS + step) % words.max(1);
            let skipped = if step == 0 { (1 << (begin % BITS)) - 1 } else { 0 };
            let bits = self.taken.get(word as usize)?;
            // Partner: `put`, which ended the former handle. Acquire: all that it did is before.
            let taken = bits.fetch_update(AcqRel, Relaxed, |taken| {
                let free = !(taken | skipped);
                (free != 0).then(|| taken | 1 << free.trailing_zeros())
            });
            if let Ok(before) = taken {
                let index = word * BITS + (!(before | skipped)).trailing_zeros();
                self.next.store((index + 1) % self.len, Relaxed); // partner: the load above
                return Token::living(self.first.get() + index);
            }
        }
        None
    }

    /// Takes a token back, whose handle is gone.
    pub(super) fn put(&self, token: Token) {
        let index = token.get() - self.first.get();
        if let Some(word) = self.taken.get((index / BITS) as usize) {
            word.fetch_and(!(1 << (index % BITS)), Release); // partner: `take`
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use shmlock_core::Token;

    use super::TokenBlock;

    #[test]
    fn each_token_is_taken_once_and_rests_as_long_as_possible() {
        let first = Token::living(70_000).expect("a living token");
        let block = TokenBlock::new(first, 128);
        let taken: HashSet<_> = std::iter::from_fn(|| block.take()).collect();
        assert_eq!(taken.len(), 127, "all but the first");
        assert!(!taken.contains(&first) && block.take().is_none());
        assert!(taken.iter().all(|token| (70_000..70_128).contains(&token.get())));
        let some = [70_003, 70_100].map(|number| Token::living(number).expect("a living token"));
        for token in some {
            block.put(token);
        }
        assert_eq!(block.take(), Some(some[0]));
        block.put(some[0]);
        assert_eq!(block.take(), Some(some[1]), "not the one that has just been returned");
    }
}
