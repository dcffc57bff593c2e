//! Models section 4, the end of a critical section: `release`, `release_without_wake`,
//! `claim_wake`, `abandon` and `declare_consistent` of the core, and the wake.

use shmlock_core::Word;

use super::Turn;
use crate::breach::Breach;
use crate::flaw::Flaw;
use crate::place::Place;
use crate::squeezed::Squeezed;
use crate::world::{Note, Process};

impl Turn<'_> {
    /// Ends the critical section. A process that was told of a death may declare the data
    /// consistent, or leave that to a later owner.
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
            Err(now) => self.retry_release(now, Place::DeclareConsistent),
        }
    }

    /// One iteration of `give`.
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
                // Hints, which are no part of the protocol, decide between the two.
                let may_pass_on = Word::from(now).has_waiters() && self.mine_is(now);
                self.retry_release(now, Place::Release);
                if may_pass_on && !self.has(Flaw::WakeBeforeRelease) {
                    self.go(Place::QuietRelease);
                }
            }
        }
    }

    /// One iteration of `release_without_wake`. The check whether another process acquires only
    /// reads.
    pub(super) fn release_without_wake(&mut self) {
        let seen = Word::from(self.me().seen);
        let new = if self.has(Flaw::QuietReleaseDropsWaiters) {
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
            Err(now) => self.retry_release(now, Place::QuietRelease),
        }
    }

    /// One iteration of `claim_wake`.
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

    fn retry_release(&mut self, now: Squeezed, place: Place) {
        if !self.mine_is(now) {
            self.breach = Some(Breach::Robbed);
        }
        self.go(place);
    }

    /// Abandons: the end of an exit handler, and of a hold on a file that was removed.
    pub(super) fn abandon(&mut self) {
        let new = Word::from(self.me().seen).abandoned();
        match self.swap(new) {
            Ok(before) => {
                self.file().torn = true;
                self.me().seen = Squeezed::FREE;
                if before.has_waiters() {
                    self.go(Place::WakeForAbandoned);
                } else {
                    self.after_abandoned();
                }
            }
            Err(now) => self.retry_release(now, Place::Abandon),
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
