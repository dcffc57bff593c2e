//! Models sections 4, 5 and 12, acquire: `contend::acquire_contended` of the core, with the shell's
//! `Waiter` and `KernelProof`.

use shmlock_core::Word;

use super::{Turn, look_again};
use crate::bounds::Ticks;
use crate::breach::Breach;
use crate::flaw::Flaw;
use crate::moves::Action;
use crate::place::Place;
use crate::squeezed::Squeezed;
use crate::world::{Leads, Link, Note};

impl Turn<'_> {
    /// One iteration of `protocol::try_acquire`. The shell's one attempt before it contends changes
    /// nothing, so it is not repeated.
    pub(super) fn try_acquire(&mut self) {
        let sticky = self.me().notes.has(Note::Waited) && !self.has(Flaw::NoStickyWaiters);
        let taken = Word::from(self.me().seen).acquired_by(self.my_token());
        match self.swap(if sticky { taken.with_waiters() } else { taken }) {
            Ok(before) => {
                self.breach = match (before.owner_died(), self.file().torn) {
                    (true, false) => Some(Breach::FalseAlarm),
                    (false, true) => Some(Breach::Untold),
                    _ => None,
                };
                self.enter(before.owner_died());
            }
            Err(now) if Word::from(now).is_free() => self.go(Place::TryAcquire),
            Err(now) => self.lose(now),
        }
    }

    /// Decides as `Waiter::next` does. Its spin only reads, and leads back to the swap.
    fn lose(&mut self, now: Squeezed) {
        if self.mine_is(now) {
            return self.go(Place::ReadAgain); // corrupt: recovered without a proof
        }
        if !self.me().notes.has(Note::Probed) {
            self.me().notes.set(Note::Probed);
            return self.go(Place::Probe);
        }
        if self.rules.bounds.impatient {
            self.give_up();
        }
        self.go(if self.has(Flaw::NoWaiters) { Place::Sleep } else { Place::SetWaiters });
    }

    fn retry(&mut self) {
        look_again(self.me());
        self.go(Place::TryAcquire);
    }

    /// Returns the kernel's answer through B, whatever it refers to.
    fn is_owner_locked(&mut self) -> bool {
        let (file, owner) = (self.me().b, self.me().seen.owner());
        match self.me().leads {
            Leads::Itself => self.world.is_token_locked(file, owner),
            Leads::Elsewhere => false,
            Leads::Identity(token) => token != owner && self.world.is_token_locked(file, owner),
        }
    }

    /// Models `Attachment::with_probe`: B, or another description by name while B is not itself;
    /// returns `false` if there is none.
    fn has_probe(&mut self) -> bool {
        if self.me().leads != Leads::Itself
            && self.world.named() == Some(self.world.processes[self.who].a)
        {
            self.me().leads = Leads::Itself;
        }
        self.me().leads == Leads::Itself
    }

    pub(super) fn probe(&mut self) {
        if !self.has(Flaw::UnprovenDescriptor) && !self.has_probe() {
            return self.retry();
        }
        // A word without an owner is not probed; only a wrong `is_free` leads here.
        if self.me().seen.owner() == 0 || self.is_owner_locked() {
            return self.retry();
        }
        self.go(if self.has(Flaw::NoAdoption) { Place::ReadAgain } else { Place::Adopt });
    }

    /// Locks the owner's byte. The check of B just before changes nothing here: B may be exchanged
    /// after it.
    pub(super) fn adopt(&mut self) {
        if self.is_owner_locked() {
            return self.retry();
        }
        let me = self.me();
        if me.leads == Leads::Itself {
            me.adopted = me.seen.owner();
        }
        let trusting = self.has(Flaw::UnprovenDescriptor) || self.has(Flaw::VerifiedBeforeOnly);
        self.go(if trusting { Place::ReadAgain } else { Place::VerifyAdopted });
    }

    pub(super) fn verify_adopted(&mut self) {
        if self.me().leads == Leads::Itself {
            return self.go(Place::ReadAgain);
        }
        self.me().adopted = 0; // with the mapping of B
        self.retry();
    }

    fn still_names_the_dead(&mut self, now: Squeezed) -> bool {
        now.names(self.me().seen.owner()) || self.has(Flaw::NoSecondRead)
    }

    pub(super) fn read_again(&mut self) {
        let now = self.file().word;
        if !self.still_names_the_dead(now) {
            return self.after_take_over();
        }
        self.me().seen = now;
        self.go(Place::TakeOver);
    }

    /// One iteration of `protocol::take_over`.
    pub(super) fn take_over(&mut self) {
        let (me, seen) = (self.my_token(), self.me().seen);
        let new = if self.has(Flaw::TakeOverDropsWaiters) {
            Word::FREE.abandoned().acquired_by(me)
        } else if self.has(Flaw::NoDiedOnTakeOver) {
            Word::held_by(me).with_waiters()
        } else {
            Word::from(seen).recovered_by(me)
        };
        match self.swap(new) {
            Ok(_) => {
                if !self.file().torn {
                    self.breach = Some(Breach::FalseAlarm);
                }
                self.me().notes.set(Note::Won);
                self.after_take_over();
            }
            Err(now) if now.names(seen.owner()) || self.has(Flaw::NoSecondRead) => {
                self.go(Place::TakeOver);
            }
            Err(_) => self.after_take_over(),
        }
    }

    fn after_take_over(&mut self) {
        self.me().seen = Squeezed::FREE;
        if self.me().adopted != 0 { self.go(Place::UnlockOwner) } else { self.unlock_owner() }
    }

    pub(super) fn unlock_owner(&mut self) {
        self.me().adopted = 0;
        if !self.me().notes.has(Note::Won) {
            return self.retry();
        }
        // Without removals from outside there is nothing to find.
        if self.rules.bounds.removals > 0 { self.go(Place::CheckOrphan) } else { self.enter(true) }
    }

    pub(super) fn check_orphan(&mut self) {
        if self.file().link == Link::Named {
            return self.enter(true);
        }
        self.me().seen = Word::held_by(self.my_token()).into();
        self.go(Place::Abandon);
    }

    fn enter(&mut self, told: bool) {
        let me = self.me();
        me.seen = Squeezed::FREE;
        for note in [Note::Waited, Note::Probed, Note::Won] {
            me.notes.clear(note);
        }
        if told {
            me.notes.set(Note::Told);
        }
        self.go(Place::Inside);
    }

    pub(super) fn set_waiters(&mut self) {
        let seen = self.me().seen;
        match self.swap(Word::from(seen).with_waiters()) {
            Ok(_) => {
                self.me().notes.set(Note::Waited);
                self.go(Place::Sleep);
            }
            Err(_) => self.retry(),
        }
    }

    /// Sleeps: the kernel compares and sleeps in one action.
    pub(super) fn sleep(&mut self) {
        let seen = Word::from(self.me().seen);
        let expected = if self.has(Flaw::NoWaiters) { seen } else { seen.with_waiters() };
        if self.file().word == expected.into() { self.go(Place::Asleep) } else { self.retry() }
    }

    /// Ends a sleep: the interval is over, a signal came, or the wake is spurious.
    pub(super) fn stop_sleeping(&mut self) {
        let file = self.me().a;
        let owner = self.file().word.owner();
        match self.rules.bounds.ticks {
            Ticks::Never => return,
            Ticks::AfterDeath if owner == 0 || self.world.is_token_locked(file, owner) => return,
            _ => {}
        }
        if self.file().link == Link::Named {
            self.go(Place::Probe);
        } else {
            self.give_up();
        }
        if self.rules.bounds.ticks == Ticks::Always {
            self.action = Action::Spurious;
            self.retry();
        }
    }

    /// `WaitAction::GiveUp`.
    fn give_up(&mut self) {
        if self.me().notes.has(Note::Waited) && !self.has(Flaw::NoCancelWait) {
            return self.go(Place::CancelWait);
        }
        let before = self.world;
        self.end_visit();
        self.world = before;
    }

    /// One iteration of `contend::cancel_wait`.
    pub(super) fn cancel_wait(&mut self) {
        let seen = self.me().seen;
        match self.swap(Word::from(seen).with_waiters()) {
            Ok(_) => self.end_visit(),
            Err(now) if !Word::from(now).is_free() => self.go(Place::CancelWait),
            Err(_) if self.has(Flaw::NoWakeOnCancel) => self.end_visit(),
            Err(_) => self.go(Place::WakeAfterCancel),
        }
    }
}
