//! Identifies a contender: its life, its seat, and the description of its handles.

use std::cell::Cell;
use std::sync::atomic::Ordering::Relaxed;

use shmlock::{Holder, ShmLock};

use crate::fault::Fault;
use crate::journal::What;
use crate::memory::{Doing, Life, Memory, Seat};
use crate::system;
use crate::tally::Count;

/// Stands for "no lock" where one is named.
pub(crate) const NO_LOCK: usize = usize::MAX;

/// One contender. It belongs to one thread.
pub(crate) struct Contender<'m> {
    pub(crate) memory: &'m Memory,
    pub(crate) at: usize,
    life: Cell<u64>,
    sections: Cell<u64>,
    pub(crate) nature: Nature,
}

/// What is special about a contender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    Plain,
    /// Its handles refuse a lock whose owner has died.
    Poisoning,
    /// It can lock no byte, and so can prove no death.
    Doubting,
}

impl<'m> Contender<'m> {
    /// Begins a new life on this seat.
    pub(crate) fn new(memory: &'m Memory, seat: usize, born: What, nature: Nature) -> Self {
        let contender = Self {
            memory,
            at: seat,
            life: Cell::new(memory.new_life(seat)),
            sections: Cell::new(0),
            nature,
        };
        contender.note(born, NO_LOCK);
        contender
    }

    /// Returns the number of its life.
    pub(crate) fn number(&self) -> u64 {
        self.life.get()
    }

    pub(crate) fn life(&self) -> &'m Life {
        self.memory.life(self.number())
    }

    pub(crate) fn seat(&self) -> &'m Seat {
        &self.memory.seats[self.at]
    }

    /// Returns the mark of its next critical section, which is unique in the run.
    pub(crate) fn next_mark(&self) -> Mark {
        self.sections.set(self.sections.get() + 1);
        Mark::new(self.number(), self.sections.get())
    }

    /// Notes that it is about to lose its identity on purpose: from here on others may be told that
    /// it died.
    pub(crate) fn set_doomed(&self) {
        self.life().doomed.store(1, Relaxed);
        system::in_this_order();
    }

    /// Goes on with a new life, after it has lost its identity.
    pub(crate) fn start_new_life(&self) {
        self.life.set(self.memory.new_life(self.at));
        self.note(What::Born, NO_LOCK);
    }

    pub(crate) fn does(&self, doing: Doing) {
        self.life().does(doing);
    }

    pub(crate) fn accuse(&self, fault: Fault, lock: usize, seen: u64) {
        self.memory.accuse(fault, lock, self.number(), seen);
    }

    /// Reports an error that nothing accounts for.
    pub(crate) fn refused(&self, lock: usize, error: &shmlock::Error) {
        eprintln!("torture: life {}: {error} ({error:?})", self.number());
        self.accuse(Fault::Refused, lock, 0);
    }

    pub(crate) fn note(&self, what: What, lock: usize) {
        self.seat().ring.note(self.number(), what, lock);
    }

    pub(crate) fn count(&self, what: Count) {
        self.seat().tally.count(what);
    }

    /// Describes its handle, so that a reader sees whether all of an owner record belongs to one
    /// owner.
    pub(crate) fn describe(&self, lock: &ShmLock) -> shmlock::Result<()> {
        lock.set_description(&description(self.number(), &lock.uuid().simple().to_string()))
    }

    /// Checks the owner record of a holder; returns its life if the record could be read.
    pub(crate) fn check_holder(&self, at: usize, holder: &Holder) -> Option<u64> {
        let (pid, uuid) = (holder.pid()?, holder.uuid()?.simple().to_string());
        let number = holder
            .description()
            .split(' ')
            .nth(1)
            .and_then(|number| number.parse().ok())
            .unwrap_or(0);
        let known = self.memory.known(number).is_some_and(|life| life.pid.load(Relaxed) == pid);
        let whole = holder.description() == description(number, &uuid)
            && holder.pid_is_ours() == Some(true);
        if known && whole {
            return Some(number);
        }
        eprintln!("torture: life {}: a strange holder: {holder}", self.number());
        self.accuse(Fault::StrangeHolder, at, pid.into());
        None
    }
}

/// Returns the description of a life's handle: its number, the beginning of the handle's uuid, and
/// letters, so that lives differ in length and letter.
pub(crate) fn description(life: u64, uuid: &str) -> String {
    let letter = char::from(b'a' + u8::try_from(life % 26).unwrap_or(0));
    let letters: String =
        std::iter::repeat_n(letter, usize::try_from(life % 31).unwrap_or(0)).collect();
    format!("life {life} {} {letters}", uuid.get(..8).unwrap_or(""))
}

/// The mark of one critical section of one life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(u64);

impl Mark {
    const SECTION_BITS: u32 = 40;

    fn new(life: u64, section: u64) -> Self {
        Self(life << Self::SECTION_BITS | section)
    }

    /// Returns the mark with these bits; `None` for 0.
    pub(crate) fn from_bits(bits: u64) -> Option<Self> {
        (bits != 0).then_some(Self(bits))
    }

    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    pub(crate) fn life(self) -> u64 {
        self.0 >> Self::SECTION_BITS
    }
}
