//! Takes one step of one process: one atomic action, with every outcome that it can have.
//!
//! Each file below follows one section of PROTOCOL.md and the product's code for it. A
//! compare-and-swap loop takes one action for each iteration, and the process remembers what it saw
//! last. Actions that no other process can notice belong to the step before.

mod acquire;
mod close;
mod hold;
mod open;

use shmlock_core::{Token, Word};

use crate::breach::Breach;
use crate::fault;
use crate::flaw::Flaw;
use crate::moves::{Action, Move, Rules};
use crate::place::Place;
use crate::squeezed::{self, Squeezed};
use crate::world::{File, Leads, NOWHERE, Note, Presence, Process, World};

/// Lists all moves of a world.
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
            Place::UnlockOwner => self.unlock_owner(),
            Place::CheckOrphan => self.check_orphan(),
            Place::SetWaiters => self.set_waiters(),
            Place::Sleep => self.sleep(),
            Place::Asleep => self.stop_sleeping(),
            Place::CancelWait => self.cancel_wait(),
            Place::WakeAfterCancel => self.wake(Self::end_visit),
            Place::Inside => self.leave_section(),
            Place::DeclareConsistent => self.declare_consistent(),
            Place::Release => self.release(),
            Place::StoreRelease => self.store_release(),
            Place::QuietRelease => self.release_without_wake(),
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

    /// Returns the file that this process has mapped.
    fn file(&mut self) -> &mut File {
        let file = usize::from(self.me().a);
        &mut self.world.files[file]
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.rules.flaws.has(flaw)
    }

    /// Completes this action; `next` comes next.
    fn go(&mut self, next: Place) {
        let mut world = self.world;
        world.processes[self.who].at = next;
        self.push(world);
    }

    fn push(&mut self, mut world: World) {
        world.forget_unused();
        self.moves.push(Move { who: self.who, action: self.action, world, breach: self.breach });
    }

    /// Swaps the word, if it is what the process saw last. `Ok`: the former word. Otherwise the
    /// process has seen the present one.
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

    /// Wakes one sleeper, any that the kernel may pick, or none if there is none.
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

    /// Ends a visit, with or without a critical section: another one with the same handle, or
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
        self.go(self.rules.first_of_closing());
    }

    /// Ends a handle: the next one follows, or the end.
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

    /// Ends opening at its deadline: `OpenTimedOut`.
    fn give_up_opening(&mut self) {
        let before = self.world;
        *self.me() = Process::GONE;
        self.go(Place::Gone);
        self.world = before;
    }
}

/// Returns to the first swap, which expects a free word.
pub(crate) fn look_again(process: &mut Process) {
    process.at = Place::TryAcquire;
    process.seen = Squeezed::FREE;
}

/// Drops what a pending open holds; only the descriptor of A goes.
pub(crate) fn drop_pending_open(process: &mut Process) {
    process.presence = Presence::None;
    process.token = 0;
    process.a = NOWHERE;
    process.b = NOWHERE;
    process.leads = Leads::Itself;
}
