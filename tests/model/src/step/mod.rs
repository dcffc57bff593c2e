//! What one process does next: one atomic action, with every outcome that it can have.
//!
//! Each file below follows one section of PROTOCOL.md and the product's code for it.
//! Compare-and-swap loops take one action for each turn, with what the process saw last as its own
//! memory. Actions that no other process can notice are no steps of their own: they belong to the
//! step before.

mod acquire;
mod close;
mod hold;
mod open;

use shmlock_core::{Token, Word};

use crate::bounds::Bounds;
use crate::fault;
use crate::flaw::{Flaw, Flaws};
use crate::place::Place;
use crate::property::Breach;
use crate::squeezed::{self, Squeezed};
use crate::world::{File, Leads, NOWHERE, Note, Presence, Process, World};

/// What is searched: the bounds, and the protocol with its flaws.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) bounds: Bounds,
    pub(crate) flaws: Flaws,
}

/// What happened in a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Step(Place),
    Spurious,
    Killed,
    Stopped,
    Leaked,
    ExitHandler,
    Removed,
    Exchanged,
}

impl Action {
    /// Whether it is no part of the protocol: nobody may have to wait for it.
    pub(crate) fn is_fault(self) -> bool {
        !matches!(self, Self::Step(_) | Self::Spurious)
    }
}

/// One way in which the world can go on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Move {
    pub(crate) who: usize,
    pub(crate) action: Action,
    pub(crate) world: World,
    pub(crate) breach: Option<Breach>,
}

/// All of them.
pub(crate) fn moves(rules: &Rules, world: &World, moves: &mut Vec<Move>) {
    for who in 0..world.processes.len() {
        if world.processes[who].can_move() {
            let action = Action::Step(world.processes[who].at);
            Turn { rules, world: *world, who, action, breach: None, moves }.take();
            fault::befall(rules, world, who, moves);
        }
    }
    fault::remove(rules, world, moves);
}

/// One process in the middle of one action.
pub(crate) struct Turn<'t> {
    rules: &'t Rules,
    world: World,
    who: usize,
    action: Action,
    breach: Option<Breach>,
    moves: &'t mut Vec<Move>,
}

impl Turn<'_> {
    fn take(mut self) {
        match self.me().at {
            Place::LookUp => self.look_up(),
            Place::Create => self.create(),
            Place::Announce => self.announce(),
            Place::CheckName => self.check_name(),
            Place::Grow => self.grow(),
            Place::Draw => self.draw(),
            Place::DeclareStale => self.declare_stale(),
            Place::WakeForStale => self.wake(Self::seal),
            Place::OpenSecond => self.open_second(),
            Place::TryAcquire => self.try_acquire(),
            Place::Probe => self.probe(),
            Place::Adopt => self.adopt(),
            Place::VerifyAdopted => self.verify_adopted(),
            Place::ReadAgain => self.read_again(),
            Place::TakeOver => self.take_over(),
            Place::LetGo => self.let_go(),
            Place::CheckOrphan => self.check_orphan(),
            Place::MarkWaiting => self.mark_waiting(),
            Place::Sleep => self.sleep(),
            Place::Asleep => self.stop_sleeping(),
            Place::StepAside => self.step_aside(),
            Place::WakeForAside => self.wake(Self::end_visit),
            Place::Inside => self.leave_section(),
            Place::DeclareConsistent => self.declare_consistent(),
            Place::Release => self.release(),
            Place::StoreRelease => self.store_release(),
            Place::PassOn => self.pass_on(),
            Place::ClaimWake => self.claim_wake(),
            Place::Wake => self.wake(Self::after_wake),
            Place::Abandon => self.abandon(),
            Place::WakeForAbandoned => self.wake(Self::after_abandoned),
            Place::JudgeEarly => self.judge_early(),
            Place::UnmapOnly => self.unmap_only(),
            Place::Unmap => self.unmap(),
            Place::LockPresence => self.lock_presence(),
            Place::JudgeWord => self.judge_word(),
            Place::JudgeName => self.judge_name(),
            Place::VerifyAlone => self.verify_alone(),
            Place::Unlink => self.unlink(),
            Place::Withdraw => self.withdraw(),
            Place::Gone => {}
        }
    }

    fn me(&mut self) -> &mut Process {
        &mut self.world.processes[self.who]
    }

    fn my_token(&mut self) -> Token {
        squeezed::token(self.me().token)
    }

    fn mine_is(&mut self, word: Squeezed) -> bool {
        let token = self.me().token;
        word.names(token)
    }

    /// The file that our mapping shows.
    fn file(&mut self) -> &mut File {
        let file = usize::from(self.me().a);
        &mut self.world.files[file]
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.rules.flaws.has(flaw)
    }

    /// This action is done; `next` comes next.
    fn go(&mut self, next: Place) {
        let mut world = self.world;
        world.processes[self.who].at = next;
        self.push(world);
    }

    fn push(&mut self, mut world: World) {
        world.forget_unused();
        self.moves.push(Move { who: self.who, action: self.action, world, breach: self.breach });
    }

    /// One swap of the word from what we saw last. `Ok`: what was there. Otherwise we have seen
    /// what is there.
    fn swap(&mut self, new: Word) -> Result<Word, Squeezed> {
        let seen = self.me().seen;
        match self.file().word.swap(seen, new) {
            Ok(()) => Ok(seen.into()),
            Err(now) => {
                self.me().seen = now;
                Err(now)
            }
        }
    }

    /// Wakes one sleeper, whichever the kernel picks, or nobody if nobody sleeps.
    fn wake(&mut self, then: impl Fn(&mut Self)) {
        let file = self.me().a;
        let sleepers: Vec<usize> = self.world.sleepers(file).collect();
        if sleepers.is_empty() {
            return then(self);
        }
        let before = self.world;
        for sleeper in sleepers {
            self.world = before;
            look_again(&mut self.world.processes[sleeper]);
            then(self);
        }
    }

    /// A visit to the section is over, or none was made: another one with the same handle, or
    /// closing.
    fn end_visit(&mut self) {
        let me = self.me();
        me.seen = Squeezed::FREE;
        for note in [Note::Waited, Note::Probed, Note::Won, Note::Told] {
            me.notes.clear(note);
        }
        me.left -= 1;
        if me.left > 0 {
            self.go(Place::TryAcquire);
        }
        self.go(close(self.rules));
    }

    /// Nothing of the handle is left: the next one, or the end.
    fn closed(&mut self) {
        let left = self.me().left;
        let again = self.me().notes.has(Note::Again);
        *self.me() = if left > 0 { Process::new(left) } else { Process::GONE };
        if again && self.rules.bounds.impatient {
            self.give_up_opening();
        }
        let at = self.me().at;
        self.go(at);
    }

    /// The deadline for opening is over: `OpenTimedOut`.
    fn give_up_opening(&mut self) {
        let before = self.world;
        *self.me() = Process::GONE;
        self.go(Place::Gone);
        self.world = before;
    }
}

/// The first step of closing.
pub(crate) fn close(rules: &Rules) -> Place {
    let early =
        rules.flaws.has(Flaw::JudgeBeforeUnmap) || rules.flaws.has(Flaw::UpgradeBeforeUnmap);
    if early { Place::JudgeEarly } else { Place::Unmap }
}

/// Back to the first swap, which expects a free word.
pub(crate) fn look_again(process: &mut Process) {
    process.at = Place::TryAcquire;
    process.seen = Squeezed::FREE;
}

/// Drops what an entrance holds that cannot be finished; only the descriptor of A goes.
pub(crate) fn drop_entrance(process: &mut Process) {
    process.presence = Presence::None;
    process.token = 0;
    process.a = NOWHERE;
    process.b = NOWHERE;
    process.leads = Leads::Itself;
}
