//! Judges what a lock's ledger says, and whether it can be true.
//!
//! A critical section goes through these steps. Each word is written by a plain store, in this
//! order, so that the next owner knows from the ledger how far a dead one came.
//!
//! | step | ledger | if it dies here, its successor |
//! |---|---|---|
//! | try the lock | `window` bit of the life | may be told of a death |
//! | enter | `inside` := mark | **must** be told of a death |
//! | intend | `count_to`, `credit_to`, `pending` := mark | must be told; redoes the work |
//! | work | `count`, `mirror`, `credit` | must be told; redoes the work |
//! | done | `pending` := 0 | must be told |
//! | leave | `inside` := 0 | may be told of a death |
//! | after the release | `window` bit | **must not** be told |
//!
//! Between the owner word and `inside` only the lock knows its owner. A death there may be reported
//! or not. But deaths are never reported more often than lives died with the bit set.
//!
//! To redo is to store the same numbers again. So it does not matter whether the dead owner had
//! stored them, nor whether the successor dies as well. The sum of all lives' credits must be the
//! count in the end.

use std::os::unix::fs::MetadataExt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use shmlock::{Holder, LockState, ShmLock};

use crate::contender::{Contender, Mark, Nature};
use crate::fault::Fault;
use crate::memory::{Doing, Ledger};
use crate::role::NARROW;
use crate::system;

/// The report of the lock to its new owner.
pub(crate) struct Told {
    pub(crate) died: bool,
    pub(crate) dead: Option<Holder>,
    pub(crate) fence: u64,
}

impl Told {
    /// Reads it from a handle that holds the lock.
    pub(crate) fn by(lock: &ShmLock) -> Self {
        let recovered = lock.recovered();
        Self {
            died: recovered.is_some(),
            dead: recovered.and_then(|recovered| recovered.dead),
            fence: lock.fencing_token().unwrap_or(0),
        }
    }
}

/// A critical section in progress. It may be handed to another thread together with the lock.
pub(crate) struct Section {
    pub(crate) at: usize,
    mark: Mark,
    count: u64,
}

impl Contender<'_> {
    fn ledger(&self, at: usize) -> &Ledger {
        &self.memory.ledgers[at]
    }

    /// Enters the critical section of a lock that was just acquired. `lock` has the lock's file
    /// open, if it is not the holder.
    pub(crate) fn enter(&self, at: usize, lock: &ShmLock, told: &Told) -> Section {
        let ledger = self.ledger(at);
        let mark = self.next_mark();
        match (told.died, Mark::from_bits(ledger.inside.load(Relaxed))) {
            (false, Some(before)) => self.judge_silence(at, before),
            (false, None) => self.judge_peace(at),
            (true, before) => self.judge_death(at, told, before),
        }
        self.judge_nature(at, told);
        system::in_this_order();
        ledger.inside.store(mark.bits(), Relaxed);
        system::in_this_order();
        self.does(Doing::Inside);
        if told.died {
            ledger.suspect.store(1, Relaxed);
            self.redo(at);
        }
        self.judge_file(at, lock, told.fence);
        Section { at, mark, count: ledger.count.load(Relaxed) }
    }

    /// Judges an entry where another life is inside, and no death is reported.
    fn judge_silence(&self, at: usize, before: Mark) {
        let fault =
            if self.memory.has_died(before.life()) { Fault::Untold } else { Fault::TwoInside };
        self.accuse(fault, at, before.life());
    }

    /// Judges an entry where no life is inside, and no death is reported.
    fn judge_peace(&self, at: usize) {
        let ledger = self.ledger(at);
        if ledger.suspect.load(Relaxed) != 0 {
            self.accuse(Fault::Forgotten, at, 0);
        }
        let count = ledger.count.load(Relaxed);
        if ledger.pending.load(Relaxed) != 0 || count != ledger.mirror.load(Relaxed) {
            self.accuse(Fault::Torn, at, count);
        }
    }

    fn judge_death(&self, at: usize, told: &Told, before: Option<Mark>) {
        let ledger = self.ledger(at);
        if let Some(before) = before {
            if !self.memory.has_died(before.life()) {
                self.accuse(Fault::Robbed, at, before.life());
            }
            increment(&ledger.told_inside);
        } else if told.dead.is_none() && ledger.suspect.load(Relaxed) != 0 {
            increment(&ledger.told_again);
        } else {
            increment(&ledger.told_window);
        }
        if let Some(dead) = &told.dead {
            self.judge_dead(at, dead);
        }
    }

    /// Judges an entry by what this contender may not acquire.
    fn judge_nature(&self, at: usize, told: &Told) {
        match self.nature {
            Nature::Poisoning if told.died => self.accuse(Fault::Unrefused, at, 0),
            // It is told which owner died only if it has recovered the lock itself.
            Nature::Doubting if told.dead.is_some() => self.accuse(Fault::Unproven, at, 0),
            _ => {}
        }
    }

    /// Judges what a new owner was told of the owner that died.
    pub(crate) fn judge_dead(&self, at: usize, dead: &Holder) {
        let named = self.check_holder(at, dead);
        // A record belongs to a token. Where tokens come back at once, it may be of a living handle
        // that had this token before; then only the record's form is checked.
        if let Some(number) = named.filter(|_| at != NARROW) {
            if !self.memory.has_died(number) {
                self.accuse(Fault::ToldOfTheLiving, at, number);
            }
            if !self.memory.life(number).may_hold(at) {
                self.accuse(Fault::ToldOfABystander, at, number);
            }
        }
    }

    /// Completes the work of a dead owner.
    fn redo(&self, at: usize) {
        let ledger = self.ledger(at);
        if let Some(author) = Mark::from_bits(ledger.pending.load(Relaxed)) {
            let count = ledger.count_to.load(Relaxed);
            ledger.count.store(count, Relaxed);
            ledger.mirror.store(count, Relaxed);
            self.memory.life(author.life()).credit[at]
                .store(ledger.credit_to.load(Relaxed), Relaxed);
            system::in_this_order();
            ledger.pending.store(0, Relaxed);
        }
        let count = ledger.count.load(Relaxed);
        if count != ledger.mirror.load(Relaxed) {
            self.accuse(Fault::Torn, at, count);
        }
    }

    /// Judges the file of a held lock: it exists, it is the lock's, and its fencing tokens grow.
    fn judge_file(&self, at: usize, lock: &ShmLock, fence: u64) {
        let ledger = self.ledger(at);
        match lock.status() {
            Ok(status) if status.orphaned => self.accuse(Fault::Orphaned, at, 0),
            // A static owner asks by a handle that holds nothing.
            Ok(status) if status.state == LockState::Unlocked => {
                self.accuse(Fault::NotOurs, at, 0);
            }
            Ok(status) if lock.is_held() && status.state != LockState::HeldByThisHandle => {
                self.accuse(Fault::NotOurs, at, 1);
            }
            Ok(_) => {}
            Err(error) => self.refused(at, &error),
        }
        let Ok(file) = std::fs::metadata(lock.path()) else {
            return self.accuse(Fault::FileVanished, at, 0);
        };
        if file.ino() != ledger.inode.load(Relaxed) {
            ledger.fence.store(0, Relaxed);
            system::in_this_order();
            ledger.inode.store(file.ino(), Relaxed);
            system::in_this_order();
            increment(&ledger.files);
        }
        if fence <= ledger.fence.load(Relaxed) {
            self.accuse(Fault::FenceWentBack, at, fence);
        }
        ledger.fence.store(fence, Relaxed);
    }

    /// Does the work of the critical section. `hold` is called when it is half done.
    pub(crate) fn work(&self, section: &Section, hold: impl FnOnce()) {
        let (ledger, at, count) = (self.ledger(section.at), section.at, section.count + 1);
        let credit = &self.memory.life(section.mark.life()).credit[at];
        let credit_to = credit.load(Relaxed) + 1;
        ledger.count_to.store(count, Relaxed);
        ledger.credit_to.store(credit_to, Relaxed);
        system::in_this_order();
        ledger.pending.store(section.mark.bits(), Relaxed);
        system::in_this_order();
        ledger.count.store(count, Relaxed);
        system::in_this_order();
        hold();
        system::in_this_order();
        ledger.mirror.store(count, Relaxed);
        credit.store(credit_to, Relaxed);
        system::in_this_order();
        ledger.pending.store(0, Relaxed);
    }

    /// Notes that the data is consistent: within the critical section, after the lock was told.
    pub(crate) fn note_consistent(&self, section: &Section) {
        self.ledger(section.at).suspect.store(0, Relaxed);
    }

    /// Leaves the critical section; its work has been done. The lock is released after this.
    #[allow(clippy::needless_pass_by_value, reason = "a section is left once")]
    pub(crate) fn leave(&self, section: Section) {
        self.judge_end(&section);
        self.ledger(section.at).inside.store(0, Relaxed);
        system::in_this_order();
        self.does(Doing::Releasing);
    }

    /// Judges that no other life was inside meanwhile.
    pub(crate) fn judge_end(&self, section: &Section) {
        let &Section { at, mark, count } = section;
        let ledger = self.ledger(at);
        system::in_this_order();
        let inside = ledger.inside.load(Relaxed);
        if inside != mark.bits() {
            self.accuse(Fault::Intruded, at, Mark::from_bits(inside).map_or(0, Mark::life));
        }
        let found = ledger.count.load(Relaxed);
        if found != count + 1
            || ledger.mirror.load(Relaxed) != found
            || ledger.pending.load(Relaxed) != 0
        {
            self.accuse(Fault::Torn, at, found);
        }
        system::in_this_order();
    }
}

/// Increments by load and store: in a critical section an atomic addition would order what the lock
/// has to order.
fn increment(word: &AtomicU64) {
    word.store(word.load(Relaxed) + 1, Relaxed);
}
