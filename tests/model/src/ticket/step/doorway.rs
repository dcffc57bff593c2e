//! Models `begin_life`, `choose`, `draw`, `stop_choosing` and `take`: a new life, and the doorway.

use shmlock_core::ticket::{burial_of, next_life, next_number};

use super::Turn;
use crate::ticket::flaw::Flaw;
use crate::ticket::world::{Place, small};

impl Turn<'_> {
    /// Lets a party whose other handle died go on: by an acquisition, or in a new life.
    pub(super) fn come(&mut self) {
        self.begin_doorway();
        self.go(Place::BeginSection);
    }

    pub(super) fn begin_doorway(&mut self) {
        if self.has(Flaw::ProofBeforeDoorway) {
            self.me().too_early = self.dead_parties();
        }
        if self.has(Flaw::ChoosesLate) {
            self.me().value = 0;
            self.me().other = self.next_other(0).expect("two parties at least");
            self.go(Place::ReadNumber);
        } else {
            self.go(Place::Choose);
        }
    }

    pub(super) fn begin_section(&mut self) {
        let before = self.me().section();
        if before.is_inside() {
            let after = if self.has(Flaw::ForgetsDeath) {
                before.left()
            } else if self.has(Flaw::CountsDeathAgain) {
                before.entered()
            } else {
                before.recovered()
            };
            self.me().set_section(after);
        }
        self.go(Place::BeginChoosing);
    }

    pub(super) fn begin_life(&mut self) {
        if self.has(Flaw::NewLifeLate) {
            self.me().too_early = 1; // the life is owed
        } else if !self.has(Flaw::NoNewLife) {
            self.new_life();
        }
        self.go(Place::Idle);
    }

    pub(super) fn new_life(&mut self) {
        let me = self.me();
        me.life = small(next_life(u32::from(me.life), u32::from(me.buried)));
    }

    pub(super) fn choose(&mut self) {
        self.me().choosing = true;
        let watched = if self.rules.bounds.in_order { self.rules.bounds.parties } else { 0 };
        for other in 0..watched {
            let waits = matches!(
                self.world.parties[other].at,
                Place::LookChoosing
                    | Place::LookNumber
                    | Place::ReadLife
                    | Place::ReadBurial
                    | Place::Prove
                    | Place::Enter
            );
            if waits && other != self.who {
                self.world.note_came_before(other, self.who);
            }
        }
        if self.has(Flaw::ChoosesLate) {
            return self.go_with_value(Place::Take);
        }
        self.me().value = 0;
        if self.has(Flaw::OldProof) {
            self.me().too_early = self.dead_parties();
        }
        self.first(Place::ReadNumber);
    }

    /// Goes to a step by which `Party::go` would forget the value.
    pub(super) fn go_with_value(&mut self, at: Place) {
        let value = self.me().value;
        self.go(at);
        if let Some(next) = self.moves.last_mut() {
            next.world.parties[self.who].value = value;
        }
    }

    /// Returns the parties that are dead at this moment, for a flawed search.
    pub(super) fn dead_parties(&self) -> u8 {
        let dead = (0..).zip(&self.world.parties).filter(|(_, party)| party.is_dead());
        dead.fold(0, |set, (number, _): (u32, _)| set | 1 << number)
    }

    pub(super) fn was_dead_too_early(&mut self) -> bool {
        let other = self.me().other;
        self.me().too_early & 1 << other != 0
    }

    pub(super) fn read_number(&mut self) {
        let number = self.other().number;
        let endless = self.has(Flaw::Modular) || self.has(Flaw::Wraps);
        if number == self.rules.bounds.last && !endless {
            if self.has(Flaw::ProofBeforeDoorway) && self.was_dead_too_early() {
                return self.next(Place::ReadNumber, Self::has_read);
            }
            return self.find_last();
        }
        let highest = self.me().value;
        let is_higher = if self.has(Flaw::Modular) {
            number != 0 && (highest == 0 || self.is_before_modulo((highest, 0), (number, 1)))
        } else {
            number > highest
        };
        if is_higher {
            self.me().value = number;
        }
        self.next(Place::ReadNumber, Self::has_read);
    }

    /// Finds the last number in a line: asks next whether its party is gone.
    pub(super) fn find_last(&mut self) {
        if self.rules.bounds.supervisor {
            self.go(Place::ReadLifeOfLast);
        } else if self.rules.bounds.proofs {
            self.go(Place::ProveLast);
        } else {
            self.go_to_await();
        }
    }

    pub(super) fn read_life(&mut self, then: Place) {
        self.me().life_read = self.other().life;
        self.go(then);
    }

    pub(super) fn is_buried(&self) -> bool {
        let (read, buried) = (self.world.parties[self.who].life_read, self.other().buried);
        if self.has(Flaw::BurialOfAnyLife) {
            return buried != 0;
        }
        u32::from(buried) == burial_of(u32::from(read))
    }

    pub(super) fn read_burial_of_last(&mut self) {
        if self.is_buried() {
            self.next(Place::ReadNumber, Self::has_read);
        } else if self.rules.bounds.proofs {
            self.me().life_read = 0;
            self.go(Place::ProveLast);
        } else {
            self.me().life_read = 0;
            self.go_to_await();
        }
    }

    pub(super) fn prove_last(&mut self) {
        if self.other().is_dead() {
            let before = self.world;
            self.next(Place::ReadNumber, Self::has_read);
            self.world = before;
        }
        self.go_to_await();
    }

    pub(super) fn go_to_await(&mut self) {
        if self.has(Flaw::WaitsInDoorway) {
            return self.go(Place::ReadNumber);
        }
        self.me().value = 0;
        self.go(Place::StopNumber);
    }

    /// Looks once at the last number, from outside the doorway. Whether the party is gone decides
    /// nothing here: the next doorway asks again.
    pub(super) fn await_last(&mut self) {
        let stands = self.other().number == self.rules.bounds.last;
        if !stands || self.rules.bounds.supervisor || self.rules.bounds.proofs {
            self.go(Place::Choose);
        }
        if stands && self.rules.is_impatient(self.who) {
            self.go(Place::Idle);
        }
    }

    pub(super) fn has_read(&mut self) {
        let last = self.rules.bounds.last;
        let highest = self.me().value;
        let number = if self.has(Flaw::NoIncrement) {
            highest.max(1)
        } else if self.has(Flaw::Modular) || self.has(Flaw::Wraps) {
            highest % last + 1
        } else {
            let next = next_number(u32::from(highest), u32::from(last));
            // A number of a party that is gone does not count.
            next.map_or(last, small)
        };
        self.me().value = number;
        self.me().other = 0;
        let at = if self.has(Flaw::ChoosesLate) {
            Place::Choose
        } else if self.has(Flaw::EndsChoosingEarly) {
            Place::EndChoosing
        } else {
            Place::Take
        };
        self.go_with_value(at);
    }

    pub(super) fn take_number(&mut self) {
        self.me().number = self.me().value;
        if self.has(Flaw::EndsChoosingEarly) {
            return self.begin_to_wait();
        }
        self.go(Place::EndChoosing);
    }

    pub(super) fn end_choosing(&mut self) {
        self.me().choosing = false;
        if self.has(Flaw::EndsChoosingEarly) {
            return self.go(Place::Take);
        }
        self.begin_to_wait();
    }
}
