//! Implements the steps of the ticket lock: PROTOCOL.md, section 17. Each is a few loads and
//! stores, and tells what happens if we die after it.
//!
//! All accesses are relaxed; the three fences carry the order. *Full* stands between a store to the
//! own line and the loads of the others': of two parties that draw at once, one sees the other.
//! *Release* and *acquire* pair over a word whose new value one party stored and another saw. A
//! barrier follows each store to a line: see [`layout`](super::layout).

use core::num::NonZeroU16;

use super::layout::Line;
use super::region::TicketRegion;
use super::words::{LAST_NUMBER, Section, Ticket, burial_of, next_life, next_number};
use crate::contend::Liveness;
use crate::error::Error;
use crate::fence::Fence;
use crate::sync::{AtomicU32, Relaxed};

/// One party of the lock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Party<'a, const N: usize, F> {
    pub(super) region: TicketRegion<'a, N>,
    pub(super) number: NonZeroU16,
    pub(super) line: &'a Line,
    pub(super) fence: F,
}

impl<'a, const N: usize, F: Fence> Party<'a, N, F> {
    pub(super) fn new(
        region: TicketRegion<'a, N>,
        number: NonZeroU16,
        fence: F,
    ) -> Result<Self, Error> {
        Ok(Self { region, number, line: region.line(number)?, fence })
    }

    /// Returns the lines of the other parties.
    #[inline]
    pub(super) fn others(&self) -> impl Iterator<Item = (u16, &'a Line)> + use<'a, N, F> {
        let me = self.number.get();
        self.region.lines().filter(move |&(party, _)| party != me)
    }

    /// *Begin a life.* Returns `true` if an earlier life died inside.
    #[inline]
    pub(super) fn begin_life(&self) -> bool {
        begin_life(self.line, self.fence)
    }

    /// *Acquire 1*: begins to choose.
    ///
    /// *If we die here:* the others wait for CHOOSING until our next life, or our burial.
    #[inline]
    pub(super) fn choose(&self) {
        self.line.choosing.store(1, Relaxed); // partner: `stands_in_way`
        // Pairs with the full fence in `take` of a party that chooses as well.
        self.fence.full(); // it sees us choose, or we read its number
    }

    /// Leaves the doorway without a number. Clears the number that another handle of our party may
    /// have left. Otherwise another party could wait for us while we wait for that party.
    ///
    /// *If we die* between the stores: the others wait for CHOOSING, as after `choose`.
    pub(super) fn stop_choosing(&self) {
        self.withdraw();
        self.line.choosing.store(0, Relaxed); // partner: `stands_in_way`
        self.fence.release(); // the barrier after each store of a line
    }

    /// *Acquire 2*, second half, and *3*: takes the number, and ends the doorway.
    ///
    /// *If we die here:* the others wait for our number until our next life, or our burial.
    #[inline]
    pub(super) fn take(&self, number: u32) {
        self.line.number.store(number, Relaxed); // partners: `draw`, `stands_in_way`
        // Pairs with `acquire` after the wait for CHOOSING: a party that sees it fall sees the
        // number.
        self.fence.release();
        self.line.choosing.store(0, Relaxed); // partner: `stands_in_way`
        // Pairs with the full fence in `choose`: we see the other choose, or it reads our number.
        self.fence.full();
    }

    /// *Acquire 4* and *5*: passes all others. Calls `wait` for each that stands in the way; it
    /// returns when that party is passed.
    #[inline]
    pub(super) fn pass_all<E>(
        &self,
        others: impl Iterator<Item = (u16, &'a Line)>,
        obstacle: Obstacle,
        mut wait: impl FnMut(u16, &'a Line) -> Result<(), E>,
    ) -> Result<(), E> {
        for (party, line) in others {
            // Partners: the stores of that party to the word. The full fence of our `take` is
            // between our number and this load.
            if obstacle.stands_in_way(party, obstacle.word(line).load(Relaxed)) {
                wait(party, line)?;
            }
        }
        // After CHOOSING, pairs with the release fence in `take`: we see the number that was drawn.
        // After the numbers, with those in `leave` and `begin_life`: we see what the owner did.
        self.fence.acquire();
        Ok(())
    }

    /// Gives the number up, before or after its turn.
    pub(super) fn withdraw(&self) {
        self.line.number.store(0, Relaxed); // partner: `stands_in_way`
        self.fence.release(); // the barrier after each store of a line
    }

    /// *Acquire 6*: enters the critical section.
    ///
    /// *If we die here:* the next owner counts a death.
    #[inline]
    pub(super) fn enter(&self) {
        let section = &self.line.section;
        // Partner: `leave` or `begin_life` of this party. Relaxed: only this party writes it.
        let before = Section::from_bits(section.load(Relaxed));
        section.store(before.entered().bits(), Relaxed); // partner: `deaths_seen_by`
        // Pairs with `acquire` in an owner that comes after our death, by its proof of it.
        self.fence.release(); // whatever it sees of our critical section, it sees INSIDE
    }

    /// *Release*: leaves the critical section, then gives the number up.
    ///
    /// *If we die* after the first store: the others wait for our number; no death is counted.
    /// *After the second:* the lock is free.
    #[inline]
    pub(super) fn leave(&self) {
        let section = &self.line.section;
        // Pairs with `acquire` in the next owner, with the fence after the store.
        self.fence.release(); // our critical section is over before INSIDE falls
        let inside = Section::from_bits(section.load(Relaxed)); // partner: our `enter`
        section.store(inside.left().bits(), Relaxed); // partner: `deaths_seen_by`
        // Pairs with `acquire` after the wait for the numbers, in the next owner.
        self.fence.release(); // it sees our critical section, and INSIDE fallen
        self.line.number.store(0, Relaxed); // partner: `stands_in_way`
        self.fence.release(); // the barrier after each store of a line
    }
}

/// *Acquire 2*, first half: returns the number to take, one above those of the others.
///
/// # Errors
/// The party that has the last number, and is not known to be dead. No number is drawn while it
/// stands.
#[inline]
pub(super) fn draw<'a>(
    others: impl Iterator<Item = (u16, &'a Line)>,
    liveness: &mut impl Liveness,
) -> Result<u32, (u16, &'a Line)> {
    let mut highest = 0;
    for (party, line) in others {
        // Partner: `take`, ordered by the full fences of `choose` and of `take`.
        let number = line.number.load(Relaxed);
        if number == LAST_NUMBER {
            if !is_gone(party, line, liveness) {
                return Err((party, line));
            }
        } else if number > highest {
            highest = number;
        }
    }
    // There always is one: the last number was not among them.
    Ok(next_number(highest, LAST_NUMBER).unwrap_or(LAST_NUMBER))
}

/// *Begin a life.* Returns `true` if an earlier life died inside.
///
/// *If we die here,* at any store: the next life does it again, and counts no death twice.
#[cold]
fn begin_life(line: &Line, fence: impl Fence) -> bool {
    let Line { choosing, number, section, life, buried, .. } = line;
    // All loads here. Partner: an earlier life of this party, whose stores have ended; for
    // `buried`, `bury`. Relaxed: one writer; a late burial is of a life that is over.
    let before = Section::from_bits(section.load(Relaxed));
    if before.is_inside() {
        // Partner: `deaths_seen_by` of the next owner, by the fence and the number below.
        section.store(before.recovered().bits(), Relaxed);
    }
    // Pairs with `acquire` in `pass_all`.
    fence.release(); // the next owner, which sees our number fall, sees the death
    choosing.store(0, Relaxed); // partner: `stands_in_way`
    fence.release(); // the barrier after each store of a line
    number.store(0, Relaxed); // partner: `stands_in_way`
    fence.release(); // a party that sees the new life sees the line at rest
    // Partner: `is_buried`, and `bury`.
    life.store(next_life(life.load(Relaxed), buried.load(Relaxed)), Relaxed);
    fence.full(); // a party that finds an earlier life came before we choose, and we see it
    before.is_inside()
}

/// Returns `true` if the other party is buried. Called after a word of its line was found in the
/// way.
///
/// Both loads are after the full fence of our `choose` or `take`. If the life that they find is
/// buried, a later one begins after them, draws after us, and sees us choose or our number.
#[cold]
pub(super) fn is_buried(line: &Line) -> bool {
    let present = line.life.load(Relaxed); // partner: `begin_life`
    let buried = line.buried.load(Relaxed); // partner: `bury`
    buried == burial_of(present)
}

/// Returns `true` if the other party is buried, or `liveness` proves that it is dead.
#[cold]
fn is_gone(party: u16, line: &Line, liveness: &mut impl Liveness) -> bool {
    is_buried(line) || is_dead(party, liveness)
}

/// Returns `true` if `liveness` proves the party dead, at one instant of the call.
///
/// That suffices, and nothing is done under the proof: a life that begins afterwards draws
/// afterwards, and sees our number.
pub(super) fn is_dead(party: u16, liveness: &mut impl Liveness) -> bool {
    let Some(party) = NonZeroU16::new(party) else { return false };
    liveness.while_dead(super::region::token_of(party), || ()).is_some()
}

/// A word in the line of another party that we wait for.
#[derive(Clone, Copy)]
pub(super) enum Obstacle {
    /// Its CHOOSING: *acquire 4*.
    Choosing,
    /// A number before this one of ours: *acquire 5*.
    NumberBefore(Ticket),
    /// The last number: *acquire 2*.
    LastNumber,
}

impl Obstacle {
    /// Returns the word to watch.
    #[inline]
    pub(super) fn word(self, line: &Line) -> &AtomicU32 {
        match self {
            Self::Choosing => &line.choosing,
            Self::NumberBefore(_) | Self::LastNumber => &line.number,
        }
    }

    /// Returns `true` if the word of this party with this value stands in our way.
    #[inline]
    pub(super) fn stands_in_way(self, party: u16, value: u32) -> bool {
        match self {
            Self::Choosing => value != 0,
            Self::NumberBefore(ours) => Ticket { number: value, party }.is_before(ours),
            Self::LastNumber => value == LAST_NUMBER,
        }
    }
}
