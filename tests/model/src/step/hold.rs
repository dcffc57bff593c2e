//! Section 4, the end of the section: `release`, `pass_on`, `claim_wake`, `abandon` and
//! `declare_consistent` of the core, and the wake.

use shmlock_core::Word;

use super::Turn;
use crate::flaw::Flaw;
use crate::place::Place;
use crate::property::Breach;
use crate::squeezed::Squeezed;
use crate::world::{Note, Process};

impl Turn<'_> {
    /// Who was told of a death may declare the data consistent, or leave that to somebody else.
    pub(super) fn leave_section(&mut self) {
        self.me().seen = Word::held_by(self.my_token()).into();
        if self.me().notes.has(Note::Told) {
            self.go(Place::DeclareConsistent);
        }
        self.me().notes.clear(Note::Told);
        self.go(if self.has(Flaw::WakeBeforeRelease) { Place::Wake } else { Place::Release });
    }

    pub(super) fn declare_consistent(&mut self) {
        let new = Word::from(self.me().seen).declared_consistent();
        match self.swap(new) {
            Ok(_) => {
                self.file().torn = false;
                self.me().notes.clear(Note::Told);
                self.me().seen = Word::held_by(self.my_token()).into();
                self.go(if self.has(Flaw::WakeBeforeRelease) {
                    Place::Wake
                } else {
                    Place::Release
                });
            }
            Err(now) => self.give_again(now, Place::DeclareConsistent),
        }
    }

    /// One turn of `give`.
    pub(super) fn release(&mut self) {
        if self.has(Flaw::ReleaseByStore) {
            self.me().seen = self.file().word;
            return self.go(Place::StoreRelease);
        }
        let new = Word::from(self.me().seen).released();
        match self.swap(new) {
            Ok(_) if self.has(Flaw::WakeBeforeRelease) => self.end_visit(),
            Ok(before) => self.owe_wake(before),
            Err(now) => {
                // Which of the two, hints decide that have no part in the protocol.
                let may_pass_on = Word::from(now).has_waiters() && self.mine_is(now);
                self.give_again(now, Place::Release);
                if may_pass_on && !self.has(Flaw::WakeBeforeRelease) {
                    self.go(Place::PassOn);
                }
            }
        }
    }

    /// One turn of `pass_on`. The look whether somebody takes the lock only reads.
    pub(super) fn pass_on(&mut self) {
        let seen = Word::from(self.me().seen);
        let new = if self.has(Flaw::PassOnDropsWaiters) {
            seen.released()
        } else {
            seen.released_keeping_waiters()
        };
        match self.swap(new) {
            Ok(_) if self.has(Flaw::NoClaim) => {
                self.me().seen = Squeezed::FREE;
                self.end_visit();
            }
            Ok(_) => {
                self.me().seen = new.into();
                self.go(Place::ClaimWake);
            }
            Err(now) => self.give_again(now, Place::PassOn),
        }
    }

    /// One turn of `claim_wake`.
    pub(super) fn claim_wake(&mut self) {
        let seen = Word::from(self.me().seen);
        if !(seen.is_free() && seen.has_waiters()) {
            self.me().seen = Squeezed::FREE;
            return self.end_visit();
        }
        match self.swap(seen.without_waiters()) {
            Ok(before) => self.owe_wake(before),
            Err(_) => self.go(Place::ClaimWake),
        }
    }

    pub(super) fn store_release(&mut self) {
        let seen = Word::from(self.me().seen);
        self.file().word = seen.released().into();
        self.owe_wake(seen);
    }

    fn owe_wake(&mut self, before: Word) {
        self.me().seen = Squeezed::FREE;
        if before.has_waiters() { self.go(Place::Wake) } else { self.end_visit() }
    }

    pub(super) fn after_wake(&mut self) {
        if self.has(Flaw::WakeBeforeRelease) { self.go(Place::Release) } else { self.end_visit() }
    }

    fn give_again(&mut self, now: Squeezed, place: Place) {
        if !self.mine_is(now) {
            self.breach = Some(Breach::Robbed);
        }
        self.go(place);
    }

    /// The exit handler's way out, and that of a hold on a file that was removed.
    pub(super) fn abandon(&mut self) {
        let new = Word::from(self.me().seen).abandoned();
        match self.swap(new) {
            Ok(before) => {
                self.file().torn = true;
                self.me().seen = Squeezed::FREE;
                if before.has_waiters() {
                    self.go(Place::WakeForAbandoned)
                } else {
                    self.after_abandoned()
                }
            }
            Err(now) => self.give_again(now, Place::Abandon),
        }
    }

    pub(super) fn after_abandoned(&mut self) {
        if self.me().notes.has(Note::Exiting) {
            self.world.drop_identity(self.who);
            *self.me() = Process::GONE;
            self.go(Place::Gone);
        } else {
            self.end_visit();
        }
    }
}
