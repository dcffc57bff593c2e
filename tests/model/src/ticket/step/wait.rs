//! Models `pass_all` and `pass`, then `enter`, `declare` and `leave`.

use shmlock_core::ticket::{Section, Ticket};

use super::{Turn, number_of};
use crate::ticket::breach::Breach;
use crate::ticket::flaw::Flaw;
use crate::ticket::judge::deaths;
use crate::ticket::world::{Place, small};

impl Turn<'_> {
    pub(super) fn begin_to_wait(&mut self) {
        self.me().value = 0;
        let numbers_only = self.has(Flaw::LooksAtNumbersFirst) || self.has(Flaw::NoWaitForChoosing);
        if self.has(Flaw::NewLifeLate) {
            self.go(Place::LateLife);
        } else {
            self.wait_at(if numbers_only { Place::LookNumber } else { Place::LookChoosing });
        }
    }

    /// Begins to wait for the others by the look `at`.
    pub(super) fn wait_at(&mut self, at: Place) {
        self.me().wait = at;
        self.first(at);
    }

    pub(super) fn is_before_modulo(&self, one: (u8, usize), other: (u8, usize)) -> bool {
        let ring = self.rules.bounds.last;
        match (other.0 + ring - one.0) % ring {
            0 => one.1 < other.1,
            distance => distance * 2 <= ring,
        }
    }

    pub(super) fn is_before_me(&self) -> bool {
        let me = &self.world.parties[self.who];
        let ticket = |number: u8, who: usize| Ticket {
            number: u32::from(number),
            party: u16::from(number_of(who)),
        };
        let (other, mine) = (self.other().number, me.number);
        let who = usize::from(me.other);
        if self.has(Flaw::Modular) {
            return other != 0 && self.is_before_modulo((other, who), (mine, self.who));
        }
        if other == mine && self.has(Flaw::EqualNumberPasses) {
            return false;
        }
        if other == mine && self.has(Flaw::EqualNumberWaits) {
            return true;
        }
        ticket(other, who).is_before(ticket(mine, self.who))
    }

    /// Looks once at the other party, which may stand in our way.
    pub(super) fn look(&mut self, stands_in_way: bool) {
        if !stands_in_way || self.has(Flaw::OldProof) && self.was_dead_too_early() {
            return self.pass();
        }
        if self.rules.bounds.supervisor {
            self.go(Place::ReadLife);
        }
        if self.rules.bounds.proofs {
            self.go(Place::Prove);
        }
        if self.rules.is_impatient(self.who) {
            (self.me().other, self.me().wait) = (0, Place::Off);
            self.go(Place::Withdraw);
        }
    }

    pub(super) fn look_again(&mut self) {
        self.me().life_read = 0;
        let at = self.me().wait;
        self.go(at);
    }

    /// Passes the other party, which does not stand in our way.
    pub(super) fn pass(&mut self) {
        let at = self.me().wait;
        self.next(at, Self::has_passed_all);
    }

    pub(super) fn has_passed_all(&mut self) {
        let numbers_first = self.has(Flaw::LooksAtNumbersFirst);
        match self.me().wait {
            Place::LookNumber if numbers_first => self.wait_at(Place::LookChoosing),
            Place::LookChoosing if !numbers_first => self.wait_at(Place::LookNumber),
            _ => {
                self.me().wait = Place::Off;
                self.go(Place::Enter);
            }
        }
    }

    pub(super) fn enter(&mut self) {
        let before = self.me().section();
        if !self.has(Flaw::NoInside) {
            let after = if self.has(Flaw::EntersOverInside) {
                Section::from_bits(before.bits() | 1)
            } else {
                before.entered()
            };
            self.me().set_section(after);
        }
        let overtaken = (0..self.rules.bounds.parties)
            .any(|other| other != self.who && self.world.came_before(other, self.who));
        self.world.forget_order(self.who);
        self.me().value = deaths(self.rules, &self.world, self.who);
        self.go(Place::Inside);
        if let Some(entered) = self.moves.last_mut() {
            entered.breach = (overtaken && self.rules.bounds.in_order).then_some(Breach::Overtaken);
        }
    }

    /// Leaves, or declares the data consistent first.
    pub(super) fn inside(&mut self) {
        let sum = self.me().value;
        if sum != self.world.declared {
            let before = self.world;
            self.world.declared = if self.has(Flaw::DeclaresTheReturnedOnly) {
                let returned = self.world.parties.iter().map(|party| party.section().deaths());
                small(returned.sum())
            } else {
                sum
            };
            self.world.torn = false;
            self.go(Place::Inside);
            self.world = before;
        }
        self.me().value = 0;
        self.go(Place::Leave);
    }

    pub(super) fn leave(&mut self) {
        if self.has(Flaw::NumberBeforeSection) {
            self.me().number = 0;
        } else {
            self.leave_section();
        }
        self.go(Place::LeaveNumber);
    }

    pub(super) fn leave_section(&mut self) {
        if !self.has(Flaw::KeepsInside) {
            let left = self.me().section().left();
            self.me().set_section(left);
        }
    }

    pub(super) fn leave_number(&mut self) {
        if self.has(Flaw::NumberBeforeSection) {
            self.leave_section();
        } else if !self.has(Flaw::LeaveKeepsNumber) {
            self.me().number = 0;
        }
        self.go(Place::Idle);
    }
}
