//! Defines the owner word as a value: its bits, and what each transition makes of them. No atomics
//! here, and no masks elsewhere.
//!
//! ```text
//!  31       30      29 .. 0
//! +--------+-------+------------------------------+
//! | WAITERS| DIED  | token of the owner, 0 = free |
//! +--------+-------+------------------------------+
//! ```
//!
//! * **WAITERS**: a waiter may be asleep on this word, so the release must wake one. It may stay
//!   set although no waiter sleeps any more; that costs one needless wake.
//! * **DIED**: an owner died holding the lock, and the protected data has not been declared
//!   consistent since.
//!
//! A token part of 0 is free *whatever the flags are*. Every 32-bit value decodes to exactly one
//! state.

use core::fmt;

use crate::token::{NO_OWNER, Token};

const WAITERS: u32 = 1 << 31;
const DIED: u32 = 1 << 30;
const TOKEN_MASK: u32 = DIED - 1;

/// One value of the owner word.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Word(u32);

impl Word {
    /// Free and without flags: the value of untouched memory.
    pub const FREE: Self = Self(NO_OWNER);

    /// Returns the word with these bits. Total: there is no invalid value.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Returns the bits as they stand in memory.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Returns the word of a lock that `me` holds, without flags: an undisturbed release finds it.
    #[must_use]
    pub const fn held_by(me: Token) -> Self {
        Self(me.get())
    }

    /// Returns the owner of the lock; `None` if it is free.
    #[must_use]
    pub const fn owner(self) -> Option<Token> {
        Token::decode(self.0 & TOKEN_MASK)
    }

    /// Returns `true` if the lock has no owner.
    #[must_use]
    pub const fn is_free(self) -> bool {
        self.0 & TOKEN_MASK == NO_OWNER
    }

    /// Returns `true` if the lock has no owner and the data was left consistent: the word need not
    /// be kept. WAITERS may be set, by a party that died between a release without wake and its
    /// claim of the wake.
    #[must_use]
    pub const fn is_free_and_consistent(self) -> bool {
        self.is_free() && !self.owner_died()
    }

    /// Returns `true` if `token` holds the lock.
    #[must_use]
    pub const fn is_owned_by(self, token: Token) -> bool {
        self.0 & TOKEN_MASK == token.get()
    }

    /// Returns `true` if the release must wake a sleeping waiter.
    #[must_use]
    pub const fn has_waiters(self) -> bool {
        self.0 & WAITERS != 0
    }

    /// Returns `true` if an owner died and the data has not been declared consistent since.
    #[must_use]
    pub const fn owner_died(self) -> bool {
        self.0 & DIED != 0
    }

    /// *Acquire*: a free word acquired by `me`. Both flags stay: others may still sleep, and the
    /// data may still be torn.
    #[must_use]
    pub const fn acquired_by(self, me: Token) -> Self {
        Self(me.get() | (self.0 & (WAITERS | DIED)))
    }

    /// *Mark waiting*: a waiter is about to sleep. Also set by an acquisition after a sleep.
    #[must_use]
    pub const fn with_waiters(self) -> Self {
        Self(self.0 | WAITERS)
    }

    /// *Release*: free. DIED stays until the data is declared consistent; the wake that follows
    /// stands for WAITERS.
    #[must_use]
    pub const fn released(self) -> Self {
        Self(self.0 & DIED)
    }

    /// *Release without wake*: free, and the next owner owes the wake.
    #[must_use]
    pub const fn released_keeping_waiters(self) -> Self {
        Self(self.0 & (WAITERS | DIED))
    }

    /// *Claim the wake*: the process that clears WAITERS must wake.
    #[must_use]
    pub const fn without_waiters(self) -> Self {
        Self(self.0 & !WAITERS)
    }

    /// *Abandon*: free, and DIED tells the next owner that the critical section was not finished.
    #[must_use]
    pub const fn abandoned(self) -> Self {
        Self(DIED)
    }

    /// *Take over* from a dead owner. WAITERS is always set: whether waiters of the dead owner
    /// sleep is unknown.
    #[must_use]
    pub const fn recovered_by(self, me: Token) -> Self {
        Self(me.get() | DIED | WAITERS)
    }

    /// *Declare consistent*: the owner has checked the data after a death.
    #[must_use]
    pub const fn declared_consistent(self) -> Self {
        Self(self.0 & !DIED)
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.owner() {
            Some(owner) => write!(f, "held by {owner}")?,
            None => f.write_str("free")?,
        }
        if self.has_waiters() {
            f.write_str(" | WAITERS")?;
        }
        if self.owner_died() {
            f.write_str(" | DIED")?;
        }
        Ok(())
    }
}
