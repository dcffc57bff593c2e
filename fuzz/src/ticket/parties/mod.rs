//! Runs calls of all parties on one ticket lock, and checks the result of each.
//!
//! A line is *clean* as long as its words are those that its party and its supervisor stored. Two
//! parties with clean lines never both hold the lock, whatever all other bytes are: PROTOCOL.md,
//! section 20.

mod dead;
mod stage;

use std::cell::{Cell, OnceCell, RefCell};
use std::mem::{ManuallyDrop, forget};
use std::num::NonZeroU16;
use std::sync::atomic::Ordering::Relaxed;

use shmlock_core::{Error, Holder, Record, TicketGuard, TicketLock, TicketRegion, Word};

use super::act::{Act, Proof};
use crate::memory::Memory;
use crate::orders::{self, Event, Hook, Patient, Script, Stage, Waiting};
use dead::Dead;

type Lock<'s, const N: usize> = TicketLock<'s, N, Hook<'s>>;
type Guard<'s, const N: usize> = TicketGuard<'s, 's, N, Hook<'s>>;

/// The indices of the words in a line.
const CHOOSING: usize = 0;
const NUMBER: usize = 2;
const SECTION: usize = 4;
const LIFE: usize = 6;
const BURIED: usize = 14;

/// The lives of a party in a session: a handle for each.
const LIVES: usize = 6;

/// The expected state of a party.
#[derive(Default)]
struct Known {
    life: Cell<usize>,
    is_dead: Cell<bool>,
    is_clean: Cell<bool>,
    /// The holds of its present handle; none from the beginning of the last release.
    holds: Cell<u32>,
    guards: Cell<u32>,
    /// The present handle is in a call.
    in_call: Cell<bool>,
    /// The section word at its last death inside.
    died_with: Cell<Option<u32>>,
    /// Its supervisor is burying it.
    is_buried_now: Cell<bool>,
}

pub(super) struct Parties<'s, const N: usize> {
    memory: &'s Memory,
    region: TicketRegion<'s, N>,
    script: Script<'s, Act>,
    /// Never dropped: a dead party does nothing more.
    lives: [[OnceCell<ManuallyDrop<Lock<'s, N>>>; LIVES]; N],
    known: [Known; N],
    guards: RefCell<Vec<(usize, ManuallyDrop<Guard<'s, N>>)>>,
    /// The words of the owner are those that owners stored.
    shared_clean: Cell<bool>,
    /// A party died inside, and no owner has declared the data consistent since.
    undeclared: Cell<bool>,
    fencing_token: Cell<u64>,
}

impl<'s, const N: usize> Parties<'s, N> {
    pub(super) fn new(
        memory: &'s Memory,
        region: TicketRegion<'s, N>,
        events: &'s [Event<Act>],
        clean: [bool; N],
        shared_clean: bool,
        undeclared: bool,
    ) -> Self {
        Self {
            memory,
            region,
            script: Script::new(events),
            lives: [const { [const { OnceCell::new() }; LIVES] }; N],
            known: std::array::from_fn(|party| Known {
                is_clean: Cell::new(clean[party]),
                // A death before this session.
                died_with: Cell::new(Some(memory.copy()[32 + 16 * party + SECTION])),
                ..Known::default()
            }),
            guards: RefCell::default(),
            shared_clean: Cell::new(shared_clean),
            undeclared: Cell::new(undeclared),
            fencing_token: Cell::new(0),
        }
    }

    /// Returns which lines are clean, whether the owner's words are, and whether a death is
    /// undeclared.
    pub(super) fn outcome(&self) -> ([bool; N], bool, bool) {
        let clean = self.known.each_ref().map(|known| known.is_clean.get());
        (clean, self.shared_clean.get(), self.undeclared.get())
    }

    /// Lets all events happen. Then each party in turn gets the lock, for the others are dead.
    pub(super) fn play(&'s self) {
        orders::run(self);
        for (party, known) in self.known.iter().enumerate() {
            while self.end_guard(party, false) {}
            let Some(lock) = self.handle(party) else { continue };
            while known.holds.get() > 0 {
                if lock.release().is_err() {
                    self.die(party); // a guard was forgotten
                    break;
                }
                known.holds.set(known.holds.get() - 1);
            }
        }
        for party in 0..N {
            let Some(lock) = self.handle(party) else { continue };
            let mut proof = Dead { parties: self, proof: Proof::Lies, but: Some(party) };
            let guard = lock.lock_or_recover(&mut Patient::new(), &mut proof);
            let guard = guard.expect("all others are dead");
            self.check_told(guard.owner_died());
            guard.declare_consistent().expect("held");
            self.undeclared.set(false);
            assert!(!guard.owner_died());
            drop(guard);
            assert!(self.is_at_rest(party), "{:?}", self.words());
        }
    }

    /// Returns the present handle of a party, which begins another life if it is dead; `None` if it
    /// has had all its lives.
    fn handle(&'s self, party: usize) -> Option<&'s Lock<'s, N>> {
        let known = &self.known[party];
        let mut life = known.life.get();
        if known.is_dead.get() {
            life += 1;
            if life == LIVES {
                return None;
            }
            known.life.set(life);
            known.is_dead.set(false);
            known.holds.set(0);
            known.guards.set(0);
        }
        Some(self.lives[party][life].get_or_init(|| {
            let lock = TicketLock::with_fence(self.region, number(party), Hook(self));
            let lock = lock.expect("one of them");
            ManuallyDrop::new(match life % 2 {
                0 => lock,
                _ => lock.with_record(Record { pid: 7, ..Record::default() }),
            })
        }))
    }

    fn word(&self, party: usize, word: usize) -> u32 {
        self.memory.words()[32 + 16 * party + word].load(Relaxed)
    }

    fn is_at_rest(&self, party: usize) -> bool {
        let inside = self.word(party, SECTION) & 1;
        self.word(party, CHOOSING) | self.word(party, NUMBER) | inside == 0
    }

    fn are_all_clean(&self) -> bool {
        self.shared_clean.get() && self.known.iter().all(|known| known.is_clean.get())
    }

    /// Makes a call of the present handle, in which other things happen.
    fn call<R>(&self, party: usize, call: impl FnOnce() -> R) -> R {
        self.known[party].in_call.set(true);
        let answer = call();
        self.known[party].in_call.set(false);
        answer
    }

    fn perform(&'s self, party: usize, act: Act) {
        if let Act::Bury(party, proof) = act {
            return self.bury(party, proof);
        }
        let Some(lock) = self.handle(party) else { return };
        let known = &self.known[party];
        let prove = |proof| Dead { parties: self, proof, but: None };
        match act {
            Act::TryLock => {
                let answer = self.call(party, || lock.try_lock());
                let busy = Error::Busy { seen: Word::FREE };
                self.check_acquire(party, answer.and_then(|guard| guard.ok_or(busy)).map(Some));
            }
            Act::Lock(waiting, proof) => {
                let mut wait = waiting.begin(self);
                let answer =
                    self.call(party, || lock.lock_or_recover(&mut wait, &mut prove(proof)));
                self.check_acquire(party, answer.map(Some));
            }
            Act::Acquire(waiting, proof) => {
                let mut wait = waiting.begin(self);
                let answer =
                    self.call(party, || lock.acquire_or_recover(&mut wait, &mut prove(proof)));
                self.check_acquire(party, answer.map(|()| None));
            }
            Act::Release => self.release(party, lock),
            Act::DropGuard => drop(self.end_guard(party, false)),
            Act::ReleaseGuard => drop(self.end_guard(party, true)),
            Act::ForgetGuard => drop(self.newest_guard(party)), // stays counted
            Act::Declare => match lock.declare_consistent() {
                Ok(()) => {
                    assert!(known.holds.get() > 0 && !lock.owner_died());
                    self.undeclared.set(false);
                }
                Err(error) => assert!(known.holds.get() == 0 && error == Error::NotHeld),
            },
            Act::Recover => self.recover(party, lock),
            Act::Look => self.look(party, lock),
            Act::Brief(waiting) => self.brief(party, waiting),
            Act::Bury(..) => {}
        }
    }

    fn check_acquire(&self, party: usize, answer: Result<Option<Guard<'s, N>>, Error>) {
        let known = &self.known[party];
        let guard = match answer {
            Ok(guard) => guard.map(ManuallyDrop::new),
            _ if self.script.is_dying() => return,
            Err(Error::Busy { .. }) => {
                assert_eq!(known.holds.get(), 0, "a nested hold needs nothing");
                assert!(!known.is_clean.get() || self.is_at_rest(party), "{:?}", self.words());
                return;
            }
            Err(error) => panic!("{error:?}"),
        };
        if self.script.is_dying() {
            return;
        }
        if known.holds.get() == 0 {
            self.check_entered(party);
        }
        known.holds.set(known.holds.get() + 1);
        if let Some(guard) = guard {
            if known.holds.get() == 1 {
                self.check_told(guard.owner_died());
                let before = self.fencing_token.replace(guard.fencing_token());
                assert!(!self.are_all_clean() || guard.fencing_token() > before);
            }
            known.guards.set(known.guards.get() + 1);
            self.guards.borrow_mut().push((party, guard));
        }
    }

    /// Checks that no other party with a clean line holds the lock.
    fn check_entered(&self, party: usize) {
        for (other, known) in self.known.iter().enumerate() {
            let holds = known.holds.get() > 0 && !known.is_dead.get() && other != party;
            let clean = known.is_clean.get() && self.known[party].is_clean.get();
            assert!(!(holds && clean), "two holders: {party}, {other}: {:?}", self.words());
        }
    }

    fn check_told(&self, died: bool) {
        assert!(!self.are_all_clean() || died == self.undeclared.get(), "{:?}", self.words());
    }

    fn release(&self, party: usize, lock: &Lock<'s, N>) {
        let Known { holds, guards, .. } = &self.known[party];
        let expected = match (holds.get(), guards.get()) {
            (0, _) => Err(Error::NotHeld),
            (holds, guards) if holds == guards => Err(Error::GuardsAlive { guards }),
            _ => Ok(()),
        };
        holds.set(holds.get() - u32::from(expected.is_ok()));
        let answer = self.call(party, || lock.release());
        assert!(self.script.is_dying() || answer == expected, "{answer:?} not {expected:?}");
        // What an earlier life left stands until this one begins.
        if expected.is_ok() {
            self.check_left(party);
        }
    }

    fn newest_guard(&self, party: usize) -> Option<ManuallyDrop<Guard<'s, N>>> {
        let mut guards = self.guards.borrow_mut();
        let newest = guards.iter().rposition(|&(of, _)| of == party)?;
        Some(guards.remove(newest).1)
    }

    /// Returns `true` if there was a guard.
    fn end_guard(&self, party: usize, explicitly: bool) -> bool {
        let Some(guard) = self.newest_guard(party) else { return false };
        let Known { holds, guards, .. } = &self.known[party];
        holds.set(holds.get() - 1);
        guards.set(guards.get() - 1);
        let guard = ManuallyDrop::into_inner(guard);
        if explicitly {
            let answer = self.call(party, || guard.release());
            assert!(self.script.is_dying() || answer == Ok(()), "{answer:?}");
        } else {
            self.call(party, || drop(guard));
        }
        self.check_left(party);
        true
    }

    fn check_left(&self, party: usize) {
        let known = &self.known[party];
        let over = known.holds.get() == 0 && known.is_clean.get() && !self.script.is_dying();
        assert!(!over || self.is_at_rest(party), "{:?}", self.words());
    }

    fn recover(&self, party: usize, lock: &Lock<'s, N>) {
        let known = &self.known[party];
        let inside = self.word(party, SECTION) & 1 == 1;
        match self.call(party, || lock.recover()) {
            _ if self.script.is_dying() => {}
            Ok(died) => {
                assert!(known.holds.get() == 0 && (died == inside || !known.is_clean.get()));
                self.check_left(party);
            }
            Err(error) => assert!(known.holds.get() > 0 && error == Error::AlreadyHeld),
        }
    }

    fn look(&self, party: usize, lock: &Lock<'s, N>) {
        let holder = self.region.holder();
        let text = format!(
            "{:?} {}",
            self.region,
            holder.as_ref().map(Holder::to_string).unwrap_or_default()
        );
        assert!(!text.contains(char::is_control), "{text:?} has control characters");
        let is_held = self.known[party].holds.get() > 0;
        assert_eq!((lock.is_held(), lock.fencing_token().is_some()), (is_held, is_held));
        assert!(is_held || !lock.owner_died());
        let _ = (lock.has_waiters(), self.region.acquisitions(), self.region.contended());
        let _ = self.region.recoveries();
        let holds = |known: &Known| known.holds.get() > 0 && !known.is_dead.get();
        if let Some(living) = self.known.iter().position(holds).filter(|_| self.are_all_clean()) {
            assert_eq!(holder.map(|holder| holder.token), Some(number(living).into()));
        }
    }

    /// Acquires twice by another handle of the party, and drops it.
    fn brief(&'s self, party: usize, waiting: Waiting) {
        let known = &self.known[party];
        if known.holds.get() > 0 {
            return;
        }
        let lock = TicketLock::with_fence(self.region, number(party), Hook(self));
        let lock = lock.expect("one of them");
        let answer = lock.acquire(&mut waiting.begin(self));
        if self.script.is_dying() {
            return forget(lock);
        }
        match answer {
            Ok(()) => {
                self.check_entered(party);
                self.check_told(lock.owner_died());
                assert_eq!(lock.try_acquire(), Ok(true));
            }
            Err(error) => assert!(matches!(error, Error::Busy { .. }), "{error:?}"),
        }
        drop(lock);
        self.check_left(party);
    }

    fn bury(&'s self, number: u16, proof: Proof) {
        let mut proof = Dead { parties: self, proof, but: None };
        let party = NonZeroU16::new(number).expect("not zero");
        let mut bury = || self.region.bury(party, Hook(self), &mut proof);
        match self.known.get(usize::from(number) - 1) {
            None => assert!(matches!(bury(), Err(Error::NoSuchParty { .. }))),
            Some(known) if !known.is_buried_now.replace(true) => {
                assert!(bury().is_ok());
                known.is_buried_now.set(false);
            }
            Some(_) => {}
        }
    }

    /// Returns `true` if this call of the party may write this word, by PROTOCOL.md, section 15.
    fn may_write(party: usize, act: Act, index: usize) -> bool {
        let Some(line) = index.checked_sub(32) else {
            return ![0, super::MAGIC].contains(&index)
                && !matches!(act, Act::Look | Act::Bury(..));
        };
        match act {
            Act::Bury(buried, _) => (line / 16, line % 16) == (usize::from(buried) - 1, BURIED),
            Act::Look | Act::Declare => false,
            _ => line / 16 == party && [CHOOSING, NUMBER, SECTION, LIFE].contains(&(line % 16)),
        }
    }
}

fn number(party: usize) -> NonZeroU16 {
    u16::try_from(party + 1).ok().and_then(NonZeroU16::new).expect("1 to 8")
}
