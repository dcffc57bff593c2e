//! Models section 10, close: the drop of the shell's `Attachment`, and `remove_if_last`.

use shmlock_core::Word;

use super::Turn;
use crate::breach::Breach;
use crate::flaw::Flaw;
use crate::place::Place;
use crate::world::{Leads, Link, NOWHERE, Presence};

impl Turn<'_> {
    /// Unmaps A: the kernel drops all locks of a description at one moment.
    pub(super) fn unmap(&mut self) {
        // Checked while the mapping exists, when no other file can have its inode.
        let is_named = self.world.named() == Some(self.me().b);
        let unverified = self.has(Flaw::UnlinkUnverified) || self.has(Flaw::UnlockUnverified);
        self.world.drop_identity(self.who);
        if self.me().leads != Leads::Itself && !unverified {
            if !is_named {
                return self.closed();
            }
            self.me().leads = Leads::Itself;
        }
        self.go(Place::LockPresence);
    }

    /// Two flawed orders, while the mapping exists: they judge the word, or upgrade the read lock
    /// to a write lock. A process that fails leaves the file to others.
    pub(super) fn judge_early(&mut self) {
        if self.has(Flaw::JudgeBeforeUnmap) {
            let is_free = Word::from(self.file().word).is_free_and_consistent();
            return self.go(if is_free { Place::Unmap } else { Place::UnmapOnly });
        }
        self.be_alone(Place::UnmapOnly);
    }

    pub(super) fn unmap_only(&mut self) {
        self.world.drop_identity(self.who);
        self.closed();
    }

    pub(super) fn lock_presence(&mut self) {
        self.be_alone(Place::Gone);
    }

    /// Takes the write lock on the presence byte; goes to `otherwise` where another process is
    /// present.
    fn be_alone(&mut self, otherwise: Place) {
        let (file, who, stranger) = (self.me().b, self.who, self.stranger());
        let others = |how| self.world.is_present_but(file, how, [Some(who), stranger]);
        let is_elsewhere = self.world.processes[who].leads == Leads::Elsewhere;
        if is_elsewhere || !others(Presence::Here) && !others(Presence::Alone) {
            match stranger {
                Some(stranger) => self.world.processes[stranger].presence = Presence::Alone,
                None if is_elsewhere => {}
                None => self.me().presence = Presence::Alone,
            }
            return self.go(Place::JudgeWord);
        }
        if otherwise == Place::Gone { self.closed() } else { self.go(otherwise) }
    }

    /// Returns the process to whose identity B refers.
    fn stranger(&self) -> Option<usize> {
        let me = &self.world.processes[self.who];
        let Leads::Identity(token) = me.leads else { return None };
        self.world.processes.iter().position(|other| other.a == me.b && other.token == token)
    }

    pub(super) fn judge_word(&mut self) {
        let unjudged = self.has(Flaw::UnlinkUnjudged);
        let file = &self.world.files[usize::from(self.world.processes[self.who].b)];
        let may_go = file.empty || Word::from(file.word).is_free_and_consistent() || unjudged;
        let next =
            if file.link == Link::Named && may_go { Place::JudgeName } else { Place::Withdraw };
        self.go(next);
    }

    pub(super) fn judge_name(&mut self) {
        let same = self.world.named() == Some(self.me().b) && self.me().leads != Leads::Elsewhere;
        let next =
            if self.has(Flaw::UnlinkUnverified) { Place::Unlink } else { Place::VerifyAlone };
        self.go(if same { next } else { Place::Withdraw });
    }

    /// Checks B. The mapping keeps the write lock from here on, whatever becomes of the descriptor.
    pub(super) fn verify_alone(&mut self) {
        let is_itself = self.me().leads == Leads::Itself;
        self.go(if is_itself { Place::Unlink } else { Place::Withdraw });
    }

    pub(super) fn unlink(&mut self) {
        let file = self.world.named().map(|file| self.world.files[usize::from(file)]);
        // A removal from outside may make this process remove another file.
        if file.is_some_and(|file| file.torn) && self.world.removals == 0 {
            self.breach = Some(Breach::DiedLost);
        }
        self.world.unlink();
        self.go(Place::Withdraw);
    }

    /// Unlocks presence. Closing B then has no effect that another process could notice.
    pub(super) fn withdraw(&mut self) {
        if let Some(stranger) = self.stranger() {
            // Not unlocked: its read lock is restored.
            let unlocked = self.has(Flaw::UnlockUnverified);
            let presence = if unlocked { Presence::None } else { Presence::Here };
            self.world.processes[stranger].presence = presence;
        }
        self.world.drop_identity(self.who);
        self.me().b = NOWHERE;
        self.closed();
    }
}
