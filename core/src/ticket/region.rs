//! Attaches to a ticket lock, looks at it without holding it, and buries a dead party.

use core::fmt;
use core::num::NonZeroU16;

use super::layout::{Line, PARTIES_MAX, PARTIES_MIN, TicketMagic, TicketWords, ticket_magic};
use super::words::{Section, Ticket, burial_of};
use crate::barrier;
use crate::contend::Liveness;
use crate::error::Error;
use crate::fence::{Fence, FullSystem};
use crate::record::Holder;
use crate::region::{READ_ATTEMPTS, Region, TicketMemory, TicketPlace};
use crate::sync::{Relaxed, spin_loop};
use crate::token::Token;

/// A ticket lock of `N` parties, as atomic words. A copyable reference: it holds nothing and
/// releases nothing.
///
/// None of its functions blocks, allocates or panics, whatever the memory contains; all are
/// async-signal-safe. For [`bury`](Self::bury) this holds if it holds for its `liveness`.
#[derive(Clone, Copy)]
pub struct TicketRegion<'a, const N: usize> {
    words: &'a TicketWords<N>,
}

impl<'a, const N: usize> TicketRegion<'a, N> {
    /// The number of parties.
    pub const PARTIES: u8 = {
        assert!(PARTIES_MIN <= N && N <= PARTIES_MAX, "a ticket lock has 2 to 8 parties");
        #[expect(clippy::cast_possible_truncation, reason = "at most 8")]
        let parties = N as u8;
        parties
    };

    /// Returns the lock in memory that this program declares itself.
    ///
    /// # Errors
    /// [`Error::NotALock`], [`Error::OtherVersion`] or [`Error::OtherParties`] if the memory holds
    /// something else. Nothing is written then.
    pub fn from_static(memory: &'static TicketMemory<N>) -> Result<Self, Error> {
        Self::new(memory)
    }

    /// Returns the lock in memory that lives for `'a`.
    ///
    /// # Errors
    /// Those of [`from_static`](Self::from_static).
    pub fn new(memory: &'a TicketMemory<N>) -> Result<Self, Error> {
        Self { words: memory.words() }.claim()
    }

    /// Returns the lock at a place from outside Rust.
    ///
    /// Claims untouched memory (magic word zero) by writing the magic word, and writes nothing
    /// else.
    ///
    /// # Errors
    /// Those of [`from_static`](Self::from_static).
    pub fn at(place: TicketPlace<'a, N>) -> Result<Self, Error> {
        Self { words: place.words() }.claim()
    }

    /// Returns the lock at a place from outside Rust if it has been used as one; `None` if the
    /// memory is untouched. Only reads, for callers that look at a lock without being a party.
    ///
    /// # Errors
    /// Those of [`from_static`](Self::from_static).
    ///
    /// # Examples
    /// ```
    /// use core::ptr::NonNull;
    /// use core::sync::atomic::AtomicU32;
    /// use shmlock_core::ticket::{TicketPlace, TicketRegion};
    ///
    /// static BANK: [AtomicU32; 64] = [const { AtomicU32::new(0) }; 64];
    ///
    /// // SAFETY: 256 aligned bytes that live for ever and are accessed as atomics only.
    /// let place = unsafe { TicketPlace::<2>::from_raw(NonNull::from(&BANK).cast(), 256) }?;
    /// assert!(TicketRegion::existing(place)?.is_none());
    /// TicketRegion::at(place)?; // a party attaches
    /// assert!(TicketRegion::existing(place)?.is_some());
    /// # Ok::<(), shmlock_core::Error>(())
    /// ```
    pub fn existing(place: TicketPlace<'a, N>) -> Result<Option<Self>, Error> {
        let region = Self { words: place.words() };
        // Partner: the store in `claim`. Relaxed: as there.
        region.accept(region.words.shared.magic.load(Relaxed))
    }

    /// Checks the magic word, and writes it if the memory is untouched.
    fn claim(self) -> Result<Self, Error> {
        let word = &self.words.shared.magic;
        // Partner: the same store by others. Relaxed: the magic orders no other word, for all zero
        // is valid.
        let mut found = word.load(Relaxed);
        if let TicketMagic::Untouched = TicketMagic::decode(found, Self::PARTIES) {
            // Each party stores the same constant, so it does not matter how often.
            word.store(ticket_magic(Self::PARTIES), Relaxed);
            barrier::full_system(); // partner: the same by others; the load below is after it
            found = word.load(Relaxed);
        }
        self.accept(found)?.ok_or(Error::NotALock { found })
    }

    /// Judges the memory by its magic word; `None` if it is untouched.
    fn accept(self, magic: u32) -> Result<Option<Self>, Error> {
        match TicketMagic::decode(magic, Self::PARTIES) {
            TicketMagic::Ours => Ok(Some(self)),
            TicketMagic::Untouched => Ok(None),
            TicketMagic::OtherParties(found) => Err(Error::OtherParties { found }),
            TicketMagic::OtherVersion(found) => Err(Error::OtherVersion { found }),
            TicketMagic::Foreign => Err(Error::NotALock { found: magic }),
        }
    }

    /// Returns the words that the owner writes.
    pub(super) fn shared(self) -> Region<'a> {
        Region::under_ticket_lock(&self.words.shared)
    }

    /// Returns the parties and their lines.
    pub(super) fn lines(self) -> impl Iterator<Item = (u16, &'a Line)> {
        (1..).zip(&self.words.lines)
    }

    /// Returns the line of a party.
    pub(super) fn line(self, party: NonZeroU16) -> Result<&'a Line, Error> {
        let party = party.get();
        let line = self.words.lines.get(usize::from(party) - 1);
        line.ok_or(Error::NoSuchParty { party, parties: Self::PARTIES })
    }

    /// Returns the sum of all deaths so far, as the owner `me` counts it; modulo 2^32.
    ///
    /// It stands still while `me` holds the lock. For any other caller it is a statistic.
    pub(super) fn deaths_seen_by(self, me: u16) -> u32 {
        Self::deaths_in(self.lines(), me)
    }

    /// Returns the sum of the deaths in these lines.
    #[inline]
    pub(super) fn deaths_in(lines: impl Iterator<Item = (u16, &'a Line)>, me: u16) -> u32 {
        lines.fold(0, |sum: u32, (party, line)| {
            // Partner: `enter`, `leave` and `begin_life` of that party. Relaxed: what it stored
            // before it died or left is ordered by the fences of the lines.
            let section = Section::from_bits(line.section.load(Relaxed));
            let deaths = if party == me { section.deaths() } else { section.deaths_if_dead() };
            sum.wrapping_add(deaths)
        })
    }

    /// Returns the sum of the deaths that were declared repaired.
    pub(super) fn declared(self) -> u32 {
        // Partner: `declare` by a previous owner, ordered by the fences of the lines. Relaxed.
        self.words.shared.recoveries.load(Relaxed)
    }

    /// *Declare consistent*. Only the owner calls it.
    pub(super) fn declare(self, deaths: u32) {
        // Partner: `declared`. Relaxed: as there.
        self.words.shared.recoveries.store(deaths, Relaxed);
    }

    /// Returns how often the lock has been acquired.
    #[must_use]
    pub fn acquisitions(self) -> u64 {
        self.shared().acquisitions()
    }

    /// Returns how many acquisitions found the lock held by another, modulo 2^32.
    #[must_use]
    pub fn contended(self) -> u32 {
        self.shared().contended()
    }

    /// Returns how many deaths inside have been counted so far, modulo 2^32: those of parties that
    /// came back. A death of a party that has not come back is not among them.
    #[must_use]
    pub fn recoveries(self) -> u32 {
        let deaths = |(_, line): (u16, &Line)| {
            // Partner: `begin_life`. Relaxed: a statistic.
            Section::from_bits(line.section.load(Relaxed)).deaths()
        };
        self.lines().map(deaths).fold(0, u32::wrapping_add)
    }

    /// Returns the present owner and its record; `None` if the lock is free. Changes nothing. Any
    /// caller, at any time.
    ///
    /// A dead owner is named whenever no other party holds the lock, until its own party comes back
    /// or it is buried. A party that has proof of its death acquires the lock all the same.
    #[must_use]
    pub fn holder(self) -> Option<Holder> {
        let mut token = self.owner()?;
        for _ in 0..READ_ATTEMPTS {
            // The strongest fence: a reader does not know the scope of the parties.
            let record = self.shared().record_of(token, FullSystem);
            let now = self.owner()?;
            if now == token && record.is_some() {
                return Some(Holder { token, record });
            }
            token = now;
            spin_loop();
        }
        Some(Holder { token, record: None })
    }

    /// Returns the party that is inside and not buried; of several, the one with the last number,
    /// for the others died there.
    fn owner(self) -> Option<Token> {
        Some(token_of(NonZeroU16::new(Self::ticket_of_owner_in(self.lines())?.party)?))
    }

    #[inline]
    fn ticket_of_owner_in(lines: impl Iterator<Item = (u16, &'a Line)>) -> Option<Ticket> {
        lines.fold(None, |owner: Option<Ticket>, (party, line)| {
            // Partners: `enter`, `take`, `begin_life`, `bury`. Relaxed: a look that orders nothing.
            let ticket = Ticket { number: line.number.load(Relaxed), party };
            let inside = Section::from_bits(line.section.load(Relaxed)).is_inside();
            let buried = line.buried.load(Relaxed) == burial_of(line.life.load(Relaxed));
            let is_later = inside && !buried && owner.is_none_or(|before| before < ticket);
            if is_later { Some(ticket) } else { owner }
        })
    }

    /// Returns `true` if an owner died holding the lock, and the data has not been declared
    /// consistent since. Changes nothing. Any caller, at any time; the owner itself asks its handle
    /// or its guard.
    ///
    /// The party that [`holder`](Self::holder) names may be dead or alive: its own death is not in
    /// the answer. The answer is `false`, too, if the lock changes hands during each of
    /// [`READ_ATTEMPTS`] looks.
    #[must_use]
    pub fn owner_died(self) -> bool {
        for _ in 0..READ_ATTEMPTS {
            if let Some(died) = self.look_for_death(|| self.lines()) {
                return died;
            }
            spin_loop();
        }
        false
    }

    /// Looks once whether an owner died; `None` if the lock changed hands meanwhile.
    #[inline]
    pub(super) fn look_for_death<I: Iterator<Item = (u16, &'a Line)>>(
        self,
        lines: impl Fn() -> I,
    ) -> Option<bool> {
        // All fences here pair with the release fences of `enter` and `leave`. An owner enters, is
        // counted, and leaves: the count is read first and last. Only a change of it matters.
        let count = self.shared().fencing_token();
        FullSystem.acquire();
        let owner = Self::ticket_of_owner_in(lines());
        FullSystem.acquire();
        let me = owner.map_or(0, |ticket| ticket.party);
        let (if_alive, if_dead) = (Self::deaths_in(lines(), me), Self::deaths_in(lines(), 0));
        let declared = self.declared();
        FullSystem.acquire();
        let stays = Self::ticket_of_owner_in(lines()) == owner;
        FullSystem.acquire();
        // The owner and the count are the same as before, so no other living party was inside
        // meanwhile.
        let is_whole = stays && self.shared().fencing_token() == count;
        is_whole.then_some(declared != if_alive && declared != if_dead)
    }

    /// Buries a party that `liveness` proves dead: the others do not wait for it any more, until it
    /// begins another life. Its death inside counts all the same. Returns `true` if there was
    /// proof.
    ///
    /// Only the supervisor of the party calls it, and a party has one. It need not keep the party
    /// from starting again: *if the party starts meanwhile*, the burial is of a life that is over.
    /// The proof must include that the stores of the dead party have ended. Blocks for as long as
    /// `liveness` does.
    ///
    /// *If we die* before the store: nothing happened.
    ///
    /// # Errors
    /// [`Error::NoSuchParty`].
    pub fn bury<F: Fence>(
        self,
        party: NonZeroU16,
        fence: F,
        liveness: &mut impl Liveness,
    ) -> Result<bool, Error> {
        let line = self.line(party)?;
        // Partner: `begin_life` of the party. Before the proof: a life that begins after it has
        // another number.
        let found = line.life.load(Relaxed);
        fence.full(); // keeps the load before the proof
        let buried = liveness.while_dead(token_of(party), || {
            // Partner: `is_buried`.
            line.buried.store(burial_of(found), Relaxed);
            fence.full(); // the barrier after each store of a line
        });
        Ok(buried.is_some())
    }
}

/// Returns the token by which `Liveness`, `Word` and the record name a party: its number.
pub(super) const fn token_of(party: NonZeroU16) -> Token {
    Token::from_static(party)
}

impl<const N: usize> fmt::Debug for TicketRegion<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketRegion").field("owner", &self.owner()).finish_non_exhaustive()
    }
}
