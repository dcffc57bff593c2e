//! Takes one step of one party: one load or one store.

mod doorway;
mod fault;
mod wait;

use super::breach::Breach;
use super::flaw::Flaw;
use super::world::{Party, Place, Rules, World, small};

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
        fault::die(rules, world, who, moves);
    }
    if rules.bounds.supervisor {
        fault::supervise(rules, world, moves);
    }
}

fn number_of(who: usize) -> u8 {
    small(u32::try_from(who).expect("few") + 1)
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
                self.go(Place::BeginNumber);
            }
            Place::BeginNumber => {
                if !self.has(Flaw::KeepsOldNumber) {
                    self.me().number = 0;
                }
                self.go(Place::BeginLife);
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
                if self.me().too_early != 0 {
                    self.me().too_early = 0;
                    self.new_life();
                }
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
}
