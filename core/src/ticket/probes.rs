//! Offers the steps of the ticket lock one by one to the programs that read their machine code
//! (`cross-tests/probes`). This is no part of the interface, and may change at any time.
//!
//! Called in their order, the steps are an acquisition that never waits, of the first of two
//! parties. Each loop over the others runs once, so that the checker can follow its pointer.

use core::iter::{Once, once};
use core::num::NonZeroU16;

use super::layout::Line;
use super::region::TicketRegion;
use super::steps::{Obstacle, Party, draw, is_buried};
use super::words::Ticket;
use crate::contend::AssumeAlive;
use crate::error::Error;
use crate::fence::Fence;

/// The number of the other party.
const OTHER: NonZeroU16 = NonZeroU16::new(2).unwrap();

/// The steps of the first party.
#[derive(Clone, Copy, Debug)]
pub struct Steps<'a, F> {
    us: Party<'a, 2, F>,
    other: &'a Line,
}

impl<'a, F: Fence> Steps<'a, F> {
    /// Returns the steps. Changes nothing.
    ///
    /// # Errors
    /// None: both parties exist.
    #[inline]
    pub fn new(region: TicketRegion<'a, 2>, fence: F) -> Result<Self, Error> {
        Ok(Self { us: Party::new(region, NonZeroU16::MIN, fence)?, other: region.line(OTHER)? })
    }

    #[inline]
    fn others(&self) -> Once<(u16, &'a Line)> {
        once((OTHER.get(), self.other))
    }

    /// Begins a life; returns `true` if an earlier one died inside.
    #[inline]
    #[must_use]
    pub fn begin_life(&self) -> bool {
        self.us.begin_life()
    }

    /// Begins to choose.
    #[inline]
    pub fn choose(&self) {
        self.us.choose();
    }

    /// Returns the number to take; `None` if the other party has the last one.
    #[inline]
    #[must_use]
    pub fn draw(&self) -> Option<u32> {
        draw(self.others(), &mut AssumeAlive).ok()
    }

    /// Takes the number.
    #[inline]
    pub fn take(&self, number: u32) {
        self.us.take(number);
    }

    /// Returns `true` if the other party does not choose, or is buried.
    #[inline]
    #[must_use]
    pub fn pass_choosing(&self) -> bool {
        self.pass(Obstacle::Choosing)
    }

    /// Returns `true` if the other party has no number before this one, or is buried.
    #[inline]
    #[must_use]
    pub fn pass_number(&self, number: u32) -> bool {
        self.pass(Obstacle::NumberBefore(Ticket { number, party: self.us.number.get() }))
    }

    #[inline]
    fn pass(&self, obstacle: Obstacle) -> bool {
        let look = |_, line: &_| if is_buried(line) { Ok(()) } else { Err(()) };
        self.us.pass_all(self.others(), obstacle, look).is_ok()
    }

    /// Enters the critical section.
    #[inline]
    pub fn enter(&self) {
        self.us.enter();
    }

    /// Returns the deaths of the other party that the owner sees.
    #[inline]
    #[must_use]
    pub fn deaths(&self) -> u32 {
        TicketRegion::<2>::deaths_in(self.others(), self.us.number.get())
    }

    /// Looks once whether an owner died; `None` if the lock changed hands meanwhile.
    #[inline]
    #[must_use]
    pub fn look_for_death(&self) -> Option<bool> {
        let lines = || once((self.us.number.get(), self.us.line)).chain(self.others());
        self.us.region.look_for_death(lines)
    }

    /// Leaves the critical section, and gives the number up.
    #[inline]
    pub fn leave(&self) {
        self.us.leave();
    }

    /// Leaves the doorway without a number.
    #[inline]
    pub fn stop_choosing(&self) {
        self.us.stop_choosing();
    }
}
