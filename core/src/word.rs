//! The owner word as a value: what its bits mean and what each transition makes of it. No atomics,
//! no masks elsewhere.
//!
//! ```text
//!  31       30      29 .. 0
//! +--------+-------+------------------------------+
//! | WAITERS| DIED  | token of the owner, 0 = free |
//! +--------+-------+------------------------------+
//! ```
//!
//! * **WAITERS**: somebody may be asleep on this word, so whoever gives the lock back must wake
//!   one. May be set although nobody sleeps any more; that costs one needless wake.
//! * **DIED**: an owner died holding the lock, and nobody has declared the protected data
//!   consistent since.
//!
//! A token part of 0 is free *whatever the flags say*. Every 32-bit value decodes to exactly one
//! state.

use core::fmt;

use crate::token::{NO_OWNER, Token};

const WAITERS: u32 = 1 << 31;
const DIED: u32 = 1 << 30;
const TOKEN_MASK: u32 = DIED - 1;

/// One value of the owner word.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Word(u32);

impl Word {
    /// Free, nobody waiting, nobody died: the value of untouched memory.
    pub const FREE: Self = Self(NO_OWNER);

    /// The word with these bits. Total: there is no invalid value.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The bits as they stand in memory.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Held by `me`, no flag set: what an undisturbed holder finds when it comes to release.
    #[must_use]
    pub const fn held_by(me: Token) -> Self {
        Self(me.get())
    }

    /// Who holds the lock; `None` if it is free.
    #[must_use]
    pub const fn owner(self) -> Option<Token> {
        Token::decode(self.0 & TOKEN_MASK)
    }

    /// Whether nobody holds the lock.
    #[must_use]
    pub const fn is_free(self) -> bool {
        self.0 & TOKEN_MASK == NO_OWNER
    }

    /// Whether nobody holds the lock and the data was left in order: there is nothing to keep the
    /// word for. WAITERS may stand there, of one who passed the lock on and died.
    #[must_use]
    pub const fn is_free_and_consistent(self) -> bool {
        self.is_free() && !self.owner_died()
    }

    /// Whether `who` holds the lock.
    #[must_use]
    pub const fn is_owned_by(self, who: Token) -> bool {
        self.0 & TOKEN_MASK == who.get()
    }

    /// Whether the one who gives the lock back must wake a sleeper.
    #[must_use]
    pub const fn has_waiters(self) -> bool {
        self.0 & WAITERS != 0
    }

    /// Whether an owner died and the data has not been declared consistent since.
    #[must_use]
    pub const fn owner_died(self) -> bool {
        self.0 & DIED != 0
    }

    /// *Acquire*: a free word taken by `me`. Both flags stay: others may still sleep, the data may
    /// still be torn.
    #[must_use]
    pub const fn acquired_by(self, me: Token) -> Self {
        Self(me.get() | (self.0 & (WAITERS | DIED)))
    }

    /// *Mark waiting*, and the sticky flag of one who acquires after having slept.
    #[must_use]
    pub const fn with_waiters(self) -> Self {
        Self(self.0 | WAITERS)
    }

    /// *Release*: free; DIED stays until somebody declares the data consistent, WAITERS goes with
    /// the wake.
    #[must_use]
    pub const fn released(self) -> Self {
        Self(self.0 & DIED)
    }

    /// *Pass on*: free, and the wake that is owed is left to whoever takes it next.
    #[must_use]
    pub const fn released_keeping_waiters(self) -> Self {
        Self(self.0 & (WAITERS | DIED))
    }

    /// *Claim the wake*: whoever takes the flag away is the one who has to wake.
    #[must_use]
    pub const fn without_waiters(self) -> Self {
        Self(self.0 & !WAITERS)
    }

    /// *Release of a holder that will not finish its section*: free, and the next comer is told.
    #[must_use]
    pub const fn abandoned(self) -> Self {
        Self(DIED)
    }

    /// *Take over* from a dead owner. WAITERS is set without looking: sleepers of the dead owner
    /// are unknown.
    #[must_use]
    pub const fn recovered_by(self, me: Token) -> Self {
        Self(me.get() | DIED | WAITERS)
    }

    /// *Declare consistent*: the holder has looked at the data after a death.
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
