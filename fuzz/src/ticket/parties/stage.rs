//! Lets events happen to the parties of a ticket lock.

use std::sync::atomic::Ordering::Relaxed;

use shmlock_core::Error;

use super::{Act, BURIED, CHOOSING, LIFE, NUMBER, Parties, SECTION};
use crate::orders::{Script, Stage};

impl<'s, const N: usize> Stage<'s> for Parties<'s, N> {
    type Act = Act;

    fn script(&self) -> &Script<'s, Act> {
        &self.script
    }

    fn parties(&self) -> usize {
        N
    }

    fn words(&self) -> Vec<u32> {
        self.memory.copy()
    }

    fn set_words(&self, words: &[u32]) {
        for (word, &value) in self.memory.words().iter().zip(words) {
            word.store(value, Relaxed);
        }
    }

    fn act(&'s self, party: usize, act: &Act) {
        let (before, happened) = (self.words(), self.script.happened());
        self.perform(party, *act);
        if self.script.is_dying() || self.script.happened() != happened {
            return;
        }
        for (index, (before, after)) in before.iter().zip(self.words()).enumerate() {
            assert!(*before == after || Self::may_write(party, *act, index), "{index}: {act:?}");
        }
    }

    fn disturb(&self, party: usize) {
        let known = &self.known[party];
        let Some(lock) = self.lives[party][known.life.get()].get() else { return };
        if !known.in_call.get() {
            return;
        }
        let before = self.words();
        assert_eq!(lock.try_lock().map(drop), Err(Error::InUse));
        assert_eq!(lock.release(), Err(Error::InUse));
        assert_eq!(lock.recover(), Err(Error::InUse));
        assert_eq!(lock.declare_consistent(), Err(Error::InUse));
        assert!(!lock.is_held() && lock.fencing_token().is_none());
        assert_eq!(before, self.words());
    }

    fn write(&self, at: usize, value: u32) {
        let index = at % self.memory.words().len();
        if self.memory.words()[index].swap(value, Relaxed) == value {
            return;
        }
        match index.checked_sub(32) {
            None => self.shared_clean.set(false),
            Some(at) if [CHOOSING, NUMBER, SECTION, LIFE, BURIED].contains(&(at % 16)) => {
                self.known[at / 16].is_clean.set(false);
            }
            Some(_) => {} // reserved
        }
    }

    fn die(&self, party: usize) {
        let known = &self.known[party];
        if known.is_dead.replace(true) {
            return;
        }
        known.in_call.set(false);
        self.guards.borrow_mut().retain(|&(of, _)| of != party);
        // INSIDE may be of an earlier life: then it is the same word, for a new life changes it.
        let section = self.word(party, SECTION);
        if section & 1 == 1 && known.died_with.replace(Some(section)) != Some(section) {
            self.undeclared.set(true);
        }
    }
}
