//! Interprets the numbers and the section words of a ticket lock. All here is total: each of the
//! 2^32 values of a word has a meaning.

/// The last number. It is drawn, and ends the row: while it stands in a line, no party draws.
pub const LAST_NUMBER: u32 = u32::MAX;

/// Returns the number to draw, one above the highest of the others; `None` if the row has ended at
/// `last`.
///
/// # Examples
/// ```
/// use shmlock_core::ticket::{LAST_NUMBER, next_number};
///
/// assert_eq!(next_number(0, LAST_NUMBER), Some(1));
/// assert_eq!(next_number(LAST_NUMBER, LAST_NUMBER), None);
/// ```
#[must_use]
pub const fn next_number(highest: u32, last: u32) -> Option<u32> {
    if highest < last { Some(highest + 1) } else { None }
}

/// A number that a party has drawn, and its place in the order of all: by the number, then by the
/// party.
///
/// The order is that of the numbers as they are, not modulo 2^32: PROTOCOL.md, section 16.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Ticket {
    /// The number; 0 is none.
    pub number: u32,
    /// The party, counted from 1.
    pub party: u16,
}

impl Ticket {
    /// Returns `true` if this is the number of a contender, and is before the other one.
    ///
    /// # Examples
    /// ```
    /// use shmlock_core::ticket::Ticket;
    ///
    /// let none = Ticket { number: 0, party: 1 };
    /// let (early, late) = (Ticket { number: 7, party: 1 }, Ticket { number: 7, party: 2 });
    /// assert!(early.is_before(late) && !late.is_before(early) && !none.is_before(late));
    /// ```
    #[must_use]
    pub const fn is_before(self, other: Self) -> bool {
        let earlier =
            self.number < other.number || self.number == other.number && self.party < other.party;
        self.number != 0 && earlier
    }
}

const INSIDE: u32 = 1;

/// One value of a party's section word: INSIDE, and its deaths in the critical section so far.
///
/// Both are in one word, so that one store turns INSIDE into a death more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Section(u32);

impl Section {
    /// Returns the section with these bits. Total: there is no invalid value.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Returns the bits as they stand in memory.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Returns `true` if the party is in its critical section, or has died there.
    #[must_use]
    pub const fn is_inside(self) -> bool {
        self.0 & INSIDE != 0
    }

    /// Returns the deaths that are counted, modulo 2^31.
    #[must_use]
    pub const fn deaths(self) -> u32 {
        self.0 >> 1
    }

    /// Returns the deaths, modulo 2^31, of a party that is not alive inside: INSIDE is a death that
    /// is not counted yet.
    ///
    /// # Examples
    /// ```
    /// use shmlock_core::ticket::Section;
    ///
    /// let died = Section::from_bits(0).entered();
    /// assert_eq!((died.deaths(), died.deaths_if_dead()), (0, 1));
    /// assert_eq!(died.recovered().deaths_if_dead(), 1); // whether its party comes back or not
    /// ```
    #[must_use]
    pub const fn deaths_if_dead(self) -> u32 {
        self.0.wrapping_add(INSIDE) >> 1
    }

    /// *Enter*: sets INSIDE. If it is set already, that was a death.
    #[must_use]
    pub const fn entered(self) -> Self {
        Self(self.deaths_if_dead() << 1 | INSIDE)
    }

    /// *Leave*: clears INSIDE.
    #[must_use]
    pub const fn left(self) -> Self {
        Self(self.0 & !INSIDE)
    }

    /// *Begin a life*: clears INSIDE, and counts the death that it was.
    #[must_use]
    pub const fn recovered(self) -> Self {
        Self(self.deaths_if_dead() << 1)
    }
}

/// Returns the value of *buried* that buries this life.
#[must_use]
pub const fn burial_of(life: u32) -> u32 {
    life.wrapping_add(1)
}

/// Returns the life that follows this one, and is not the life that `buried` names.
#[must_use]
pub const fn next_life(life: u32, buried: u32) -> u32 {
    let next = life.wrapping_add(1);
    if buried == burial_of(next) { next.wrapping_add(1) } else { next }
}
