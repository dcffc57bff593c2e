//! Takes one step of one party, or of the supervisor; and the faults.

use shmlock_core::ticket::{Section, Ticket, burial_of, next_life, next_number};

use super::breach::Breach;
use super::flaw::Flaw;
use super::judge::deaths;
use super::world::{Party, Place, Rules, Supervisor, World, small};

/// One move of the world.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    pub(super) what: What,
    pub(super) world: World,
    pub(super) breach: Option<Breach>,
}

/// The event of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A party, counted from 1, takes this step.
    Step(u8, Place),
    /// A party comes, though nothing obliges it to.
    Comes(u8),
    /// A party dies, or one handle of it.
    Dies(u8),
    /// The supervisor acts on this party.
    Supervises(u8),
}

impl What {
    /// Returns `true` if it need not happen, so that no party may have to wait for it.
    pub(super) fn is_optional(self) -> bool {
        matches!(self, Self::Comes(_) | Self::Dies(_))
    }
}

/// Lists all moves of a world.
pub(super) fn moves(rules: &Rules, world: &World, moves: &mut Vec<Move>) {
    for who in 0..rules.bounds.parties {
        let turn = Turn { rules, world: *world, who, moves };
        turn.take();
        die(rules, world, who, moves);
    }
    if rules.bounds.supervisor {
        supervise(rules, world, moves);
    }
}

fn number_of(who: usize) -> u8 {
    small(u32::try_from(who).expect("few") + 1)
}

/// Adds the deaths of this party.
fn die(rules: &Rules, world: &World, who: usize, moves: &mut Vec<Move>) {
    let party = &world.parties[who];
    let is_alive = !party.is_dead() && party.at != Place::Orphan;
    if !is_alive || world.deaths == rules.bounds.deaths {
        return;
    }
    let mut dead = *world;
    dead.deaths += 1;
    dead.torn |= party.is_inside();
    dead.forget_order(who);
    // Another handle goes on only if it has begun a life itself. So one of the party has ended.
    let begins = matches!(
        party.at,
        Place::BeginSection | Place::BeginChoosing | Place::BeginNumber | Place::BeginLife
    );
    let fates: &[Place] = if rules.bounds.handles && !begins {
        &[Place::Dead, Place::Orphan]
    } else {
        &[Place::Dead]
    };
    for &fate in fates {
        let mut world = dead;
        world.parties[who].go(fate);
        moves.push(Move { what: What::Dies(number_of(who)), world, breach: None });
    }
}

/// Adds the steps of `bury`. The supervisor may act at any time, on any party, and stop in between
/// for as long as it likes; parties may start meanwhile.
fn supervise(rules: &Rules, world: &World, moves: &mut Vec<Move>) {
    let mut push = |who: u8, world: World| {
        moves.push(Move { what: What::Supervises(who + 1), world, breach: None });
    };
    match world.supervisor {
        Supervisor::Idle => {
            for (who, party) in (0..).zip(&world.parties[..rules.bounds.parties]) {
                let mut next = *world;
                next.supervisor = Supervisor::HasLife(who, party.life);
                push(who, next);
            }
        }
        Supervisor::HasLife(who, life) => {
            let mut next = *world;
            next.supervisor = Supervisor::Idle; // no proof
            push(who, next);
            if world.parties[usize::from(who)].is_dead() || rules.has(Flaw::BuriesTheLiving) {
                next.supervisor = Supervisor::HasProof(who, life);
                push(who, next);
            }
        }
        Supervisor::HasProof(who, life) => {
            let mut next = *world;
            next.supervisor = Supervisor::Idle;
            let party = &mut next.parties[usize::from(who)];
            if rules.has(Flaw::SupervisorClears) {
                (party.choosing, party.number) = (false, 0);
            } else {
                let life = if rules.has(Flaw::LifeAfterProof) { party.life } else { life };
                party.buried = small(burial_of(u32::from(life)));
            }
            push(who, next);
        }
    }
}

/// One party in the middle of one step.
struct Turn<'t> {
    rules: &'t Rules,
    world: World,
    who: usize,
    moves: &'t mut Vec<Move>,
}

impl Turn<'_> {
    fn me(&mut self) -> &mut Party {
        &mut self.world.parties[self.who]
    }

    fn other(&self) -> Party {
        self.world.parties[usize::from(self.world.parties[self.who].other)]
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.rules.has(flaw)
    }

    /// Ends the step: the next one is `at`.
    fn go(&mut self, at: Place) {
        let what = What::Step(number_of(self.who), self.me().at);
        self.go_by(what, at);
    }

    fn go_by(&mut self, what: What, at: Place) {
        let mut world = self.world;
        world.parties[self.who].go(at);
        self.moves.push(Move { what, world, breach: None });
    }

    /// Returns the first other party from `from` on.
    fn next_other(&self, from: u8) -> Option<u8> {
        let last = small(u32::try_from(self.rules.bounds.parties).expect("few"));
        (from..last).find(|&other| usize::from(other) != self.who)
    }

    /// Begins to look at the others by the step `at`.
    fn first(&mut self, at: Place) {
        self.me().other = self.next_other(0).expect("two parties at least");
        self.go(at);
    }

    /// Looks at the next party by the step `at`; if that was the last, goes to `end`.
    fn next(&mut self, at: Place, end: fn(&mut Self)) {
        let after = self.me().other + 1;
        self.me().life_read = 0;
        match self.next_other(after) {
            Some(other) if !self.is_content_with_one(at) => {
                self.me().other = other;
                self.go(at);
            }
            _ => {
                self.me().other = 0;
                end(self);
            }
        }
    }

    fn is_content_with_one(&self, at: Place) -> bool {
        if at == Place::ReadNumber {
            self.has(Flaw::OverlooksAParty)
        } else {
            self.has(Flaw::WaitsForOneParty)
        }
    }

    fn take(mut self) {
        let at = self.me().at;
        match at {
            Place::Off => self.go_by(What::Comes(number_of(self.who)), Place::BeginSection),
            Place::Dead if self.rules.bounds.returns => self.go(Place::BeginSection),
            Place::Dead => {}
            Place::Orphan => self.come(),
            Place::Idle => {
                self.begin_doorway();
                if let Some(came) = self.moves.last_mut() {
                    came.what = What::Comes(number_of(self.who));
                }
            }
            Place::BeginSection => self.begin_section(),
            Place::BeginChoosing => {
                let kept = self.has(Flaw::KeepsOldChoosing);
                self.me().choosing &= kept;
                let number_first = self.has(Flaw::ClearsNumberFirst);
                self.go(if number_first { Place::BeginLife } else { Place::BeginNumber });
            }
            Place::BeginNumber => {
                if !self.has(Flaw::KeepsOldNumber) {
                    self.me().number = 0;
                }
                self.after_begin_number();
            }
            Place::BeginLife => self.begin_life(),
            Place::Choose => self.choose(),
            Place::ReadNumber => self.read_number(),
            Place::ReadLifeOfLast => self.read_life(Place::ReadBurialOfLast),
            Place::ReadBurialOfLast => self.read_burial_of_last(),
            Place::ProveLast => self.prove_last(),
            Place::StopNumber => {
                if !self.has(Flaw::StopKeepsNumber) {
                    self.me().number = 0;
                }
                self.go(Place::StopChoosing);
            }
            Place::StopChoosing => {
                self.me().choosing = false;
                self.world.forget_order(self.who);
                self.go(Place::AwaitLast);
            }
            Place::AwaitLast => self.await_last(),
            Place::Take => self.take_number(),
            Place::EndChoosing => self.end_choosing(),
            Place::LateLife => {
                self.new_life();
                self.wait_at(Place::LookChoosing);
            }
            Place::LookChoosing => self.look(self.other().choosing),
            Place::LookNumber => self.look(self.is_before_me()),
            Place::ReadLife => self.read_life(Place::ReadBurial),
            Place::ReadBurial => {
                if self.is_buried() {
                    self.pass();
                } else {
                    self.look_again();
                }
            }
            Place::Prove => {
                if self.other().is_dead() {
                    let before = self.world;
                    self.pass();
                    self.world = before;
                }
                self.look_again();
            }
            Place::Withdraw => {
                if !self.has(Flaw::WithdrawKeepsNumber) {
                    self.me().number = 0;
                }
                self.world.forget_order(self.who);
                self.go(Place::Idle);
            }
            Place::Enter => self.enter(),
            Place::Inside => self.inside(),
            Place::Leave => self.leave(),
            Place::LeaveNumber => self.leave_number(),
        }
    }

    /// A handle of a party whose other handle died goes on: by an acquisition, or in a new life.
    fn come(&mut self) {
        self.begin_doorway();
        self.go(Place::BeginSection);
    }

    fn begin_doorway(&mut self) {
        if self.has(Flaw::ChoosesLate) {
            self.me().value = 0;
            self.me().other = self.next_other(0).expect("two parties at least");
            self.go(Place::ReadNumber);
        } else {
            self.go(Place::Choose);
        }
    }

    fn begin_section(&mut self) {
        let before = self.me().section();
        if before.is_inside() {
            let after = if self.has(Flaw::ForgetsDeath) {
                before.left()
            } else if self.has(Flaw::CountsDeathAgain) {
                before.entered()
            } else {
                before.recovered()
            };
            if self.has(Flaw::ClearsNumberFirst) && self.me().number != 0 {
                return self.go(Place::BeginNumber);
            }
            self.me().set_section(after);
        }
        self.go(Place::BeginChoosing);
    }

    fn after_begin_number(&mut self) {
        let number_first = self.has(Flaw::ClearsNumberFirst);
        self.go(if number_first { Place::BeginSection } else { Place::BeginLife });
    }

    fn begin_life(&mut self) {
        if !self.has(Flaw::NoNewLife) && !self.has(Flaw::NewLifeLate) {
            self.new_life();
        }
        self.go(Place::Idle);
    }

    fn new_life(&mut self) {
        let me = self.me();
        me.life = small(next_life(u32::from(me.life), u32::from(me.buried)));
    }

    fn choose(&mut self) {
        self.me().choosing = true;
        for other in 0..self.rules.bounds.parties {
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
        if self.has(Flaw::OldProof) || self.has(Flaw::ProofBeforeDoorway) {
            let dead = self.dead_parties();
            self.me().too_early = dead;
        }
        self.first(Place::ReadNumber);
    }

    /// Goes to a step by which `Party::go` would forget the value.
    fn go_with_value(&mut self, at: Place) {
        let value = self.me().value;
        self.go(at);
        if let Some(next) = self.moves.last_mut() {
            next.world.parties[self.who].value = value;
        }
    }

    fn dead_parties(&self) -> u8 {
        let dead = (0..).zip(&self.world.parties).filter(|(_, party)| party.is_dead());
        dead.fold(0, |set, (number, _): (u32, _)| set | 1 << number)
    }

    fn was_dead_too_early(&mut self) -> bool {
        let other = self.me().other;
        self.me().too_early & 1 << other != 0
    }

    fn read_number(&mut self) {
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

    /// The last number stands in a line: is its party gone?
    fn find_last(&mut self) {
        if self.rules.bounds.supervisor {
            self.go(Place::ReadLifeOfLast);
        } else if self.rules.bounds.proofs {
            self.go(Place::ProveLast);
        } else {
            self.go_to_await();
        }
    }

    fn read_life(&mut self, then: Place) {
        self.me().life_read = self.other().life;
        self.go(then);
    }

    fn is_buried(&self) -> bool {
        let (read, buried) = (self.world.parties[self.who].life_read, self.other().buried);
        if self.has(Flaw::BurialOfAnyLife) {
            return buried != 0;
        }
        u32::from(buried) == burial_of(u32::from(read))
    }

    fn read_burial_of_last(&mut self) {
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

    fn prove_last(&mut self) {
        if self.other().is_dead() {
            let before = self.world;
            self.next(Place::ReadNumber, Self::has_read);
            self.world = before;
        }
        self.go_to_await();
    }

    fn go_to_await(&mut self) {
        if self.has(Flaw::WaitsInDoorway) {
            return self.go(Place::ReadNumber);
        }
        self.me().value = 0;
        self.go(Place::StopNumber);
    }

    /// One look at the last number, from outside the doorway. Whether the party is gone decides
    /// nothing here: the next doorway asks again.
    fn await_last(&mut self) {
        let stands = self.other().number == self.rules.bounds.last;
        if !stands || self.rules.bounds.supervisor || self.rules.bounds.proofs {
            self.go(Place::Choose);
        }
        if stands && self.rules.bounds.impatient {
            self.go(Place::Idle);
        }
    }

    fn has_read(&mut self) {
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

    fn take_number(&mut self) {
        self.me().number = self.me().value;
        if self.has(Flaw::EndsChoosingEarly) {
            return self.begin_to_wait();
        }
        self.go(Place::EndChoosing);
    }

    fn end_choosing(&mut self) {
        self.me().choosing = false;
        if self.has(Flaw::EndsChoosingEarly) {
            return self.go(Place::Take);
        }
        self.begin_to_wait();
    }

    fn begin_to_wait(&mut self) {
        self.me().value = 0;
        let numbers_only = self.has(Flaw::LooksAtNumbersFirst) || self.has(Flaw::NoWaitForChoosing);
        if self.has(Flaw::NewLifeLate) {
            self.go(Place::LateLife);
        } else {
            self.wait_at(if numbers_only { Place::LookNumber } else { Place::LookChoosing });
        }
    }

    /// Begins to wait for the others by the look `at`.
    fn wait_at(&mut self, at: Place) {
        self.me().wait = at;
        self.first(at);
    }

    fn is_before_modulo(&self, one: (u8, usize), other: (u8, usize)) -> bool {
        let ring = self.rules.bounds.last;
        match (other.0 + ring - one.0) % ring {
            0 => one.1 < other.1,
            distance => distance * 2 <= ring,
        }
    }

    fn is_before_me(&self) -> bool {
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

    /// One look at the other party, which may stand in our way.
    fn look(&mut self, stands_in_way: bool) {
        if !stands_in_way || self.has(Flaw::OldProof) && self.was_dead_too_early() {
            return self.pass();
        }
        if self.rules.bounds.supervisor {
            self.go(Place::ReadLife);
        }
        if self.rules.bounds.proofs {
            self.go(Place::Prove);
        }
        if self.rules.bounds.impatient {
            (self.me().other, self.me().wait) = (0, Place::Off);
            self.go(Place::Withdraw);
        }
    }

    fn look_again(&mut self) {
        self.me().life_read = 0;
        let at = self.me().wait;
        self.go(at);
    }

    /// The other party does not stand in our way.
    fn pass(&mut self) {
        let at = self.me().wait;
        self.next(at, Self::has_passed_all);
    }

    fn has_passed_all(&mut self) {
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

    fn enter(&mut self) {
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
            entered.breach = overtaken.then_some(Breach::Overtaken);
        }
    }

    /// Leaves, or declares the data consistent first.
    fn inside(&mut self) {
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

    fn leave(&mut self) {
        if self.has(Flaw::NumberBeforeSection) {
            self.me().number = 0;
        } else {
            self.leave_section();
        }
        self.go(Place::LeaveNumber);
    }

    fn leave_section(&mut self) {
        if !self.has(Flaw::KeepsInside) {
            let left = self.me().section().left();
            self.me().set_section(left);
        }
    }

    fn leave_number(&mut self) {
        if self.has(Flaw::NumberBeforeSection) {
            self.leave_section();
        } else if !self.has(Flaw::LeaveKeepsNumber) {
            self.me().number = 0;
        }
        self.go(Place::Idle);
    }
}
