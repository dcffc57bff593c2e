//! Runs calls of all cores on one region with epoch tokens, and checks the result of each.
//!
//! The memory is *clean* as long as the roll, the owner word and the magic words are what the cores
//! and their supervisors stored. Then never two living cores hold the lock, each death inside is
//! told, and a death is proven to each waiter: PROTOCOL.md, section 6a.

use std::cell::{Cell, OnceCell, RefCell};
use std::mem::ManuallyDrop;
use std::sync::atomic::Ordering::Relaxed;

use shmlock_core::roll::{BootId, BootLiveness, Roll, Slot};
use shmlock_core::{EpochRegion, Error, Holder, RegionGuard, RegionLock, Word};

use super::act::Act;
use crate::memory::{DIED, Memory, token_part};
use crate::orders::{self, Event, Hook, Patient, Script, Stage, Steps};

/// The cores; their slots are 1, 2 and 3.
pub(super) const CORES: usize = 3;

/// The indices of the first words of the roll and of the region.
pub(super) const ROLL: usize = 0;
pub(super) const REGION: usize = 16;
pub(super) const WORDS: usize = REGION + 32;

const GENERATION: usize = REGION + 1;
const RECOVERIES: usize = REGION + 3;
const GENERATION_HIGH: usize = REGION + 12;

/// The boots of a core in a scenario.
const LIVES: usize = 8;

type Lock<'s> = RegionLock<'s, Hook<'s>>;
type Guard<'s> = RegionGuard<'s, 's, Hook<'s>>;

/// The expected state of a core.
#[derive(Default)]
struct Known {
    /// The boots that it has begun here.
    lives: Cell<usize>,
    runs: Cell<bool>,
    boot: Cell<Option<BootId>>,
    /// The holds of its present handle; none from the beginning of the last release.
    holds: Cell<u32>,
    guards: Cell<u32>,
    /// The present handle is in a call.
    in_call: Cell<bool>,
    /// Its supervisor is retiring a boot.
    is_retired_now: Cell<bool>,
}

pub(super) struct Cores<'s> {
    memory: &'s Memory,
    roll: Roll<'s>,
    region: EpochRegion<'s>,
    script: Script<'s, Act>,
    /// Never dropped: a core that was reset does nothing more.
    handles: [[OnceCell<ManuallyDrop<Lock<'s>>>; LIVES]; CORES],
    known: [Known; CORES],
    guards: RefCell<Vec<(usize, ManuallyDrop<Guard<'s>>)>>,
    clean: Cell<bool>,
    /// The counters of the region are what owners stored.
    counters_clean: Cell<bool>,
    /// A core was reset inside, and no owner has declared the data consistent since.
    undeclared: Cell<bool>,
    deaths: Cell<u32>,
    fencing_token: Cell<u64>,
}

impl<'s> Cores<'s> {
    pub(super) fn new(
        memory: &'s Memory,
        roll: Roll<'s>,
        region: EpochRegion<'s>,
        events: &'s [Event<Act>],
        clean: bool,
    ) -> Self {
        Self {
            memory,
            roll,
            region,
            script: Script::new(events),
            handles: [const { [const { OnceCell::new() }; LIVES] }; CORES],
            known: Default::default(),
            guards: RefCell::default(),
            clean: Cell::new(clean),
            counters_clean: Cell::new(clean),
            undeclared: Cell::new(false),
            deaths: Cell::new(0),
            fencing_token: Cell::new(0),
        }
    }

    /// Lets all events happen. Then each core in turn gets the lock: of the others each runs and
    /// holds nothing, or its boot is retired.
    pub(super) fn play(&'s self) {
        orders::run(self);
        for (core, known) in self.known.iter().enumerate() {
            while self.end_guard(core, false) {}
            if known.holds.get() > 0 {
                self.die(core); // by `acquire`, or a guard was forgotten
            }
        }
        let handles: Vec<_> = (0..CORES).map(|core| self.handle(core)).collect();
        for (core, _) in handles.iter().enumerate().filter(|(_, handle)| handle.is_none()) {
            if let Some(boot) = self.roll.last_boot(slot(core)).expect("a slot") {
                self.roll.retire(boot).expect("a slot");
            }
        }
        for lock in handles.into_iter().flatten() {
            let guard = self.lock(lock, &mut Patient::new(), true);
            let Some(guard) = guard.ok() else {
                assert!(!self.clean.get(), "{:?}", self.words());
                continue;
            };
            self.check_told(guard.owner_died());
            guard.declare_consistent().expect("held");
            self.undeclared.set(false);
            guard.release().expect("held");
        }
        let recoveries = self.region.recoveries();
        assert!(!self.is_all_clean() || recoveries <= self.deaths.get(), "recovered twice");
    }

    fn is_all_clean(&self) -> bool {
        self.clean.get() && self.counters_clean.get()
    }

    fn proof(&'s self) -> BootLiveness<'s, Hook<'s>> {
        BootLiveness::new(self.roll.with_fence(Hook(self)))
    }

    fn lock(
        &'s self,
        lock: &'s Lock<'s>,
        wait: &mut impl shmlock_core::wait::Wait,
        proves: bool,
    ) -> Result<Guard<'s>, Error> {
        if proves { lock.lock_or_recover(wait, &mut self.proof()) } else { lock.lock(wait) }
    }

    /// Returns the present handle of a core, which begins another boot if it does not run; `None`
    /// if it has had all its boots, or is reset in the beginning of this one.
    fn handle(&'s self, core: usize) -> Option<&'s Lock<'s>> {
        let known = &self.known[core];
        if !known.runs.get() {
            let life = known.lives.get();
            let cell = self.handles[core].get(life)?;
            known.lives.set(life + 1);
            known.runs.set(true);
            known.holds.set(0);
            known.guards.set(0);
            let (before, happened) = (self.words(), self.script.happened());
            let boot = self.roll.with_fence(Hook(self)).begin_boot(slot(core)).expect("a slot");
            if self.script.is_dying() {
                return None;
            }
            if self.script.happened() == happened {
                let mut after = before;
                let at = ROLL + 4 + 2 * core;
                after[at] = after[at].checked_add(1).unwrap_or(1);
                assert_eq!((self.words(), boot.id().number()), (after.clone(), after[at]));
            }
            known.boot.set(Some(boot.id()));
            let lock = RegionLock::for_boot_with_fence(self.region, &boot, Hook(self));
            if self.script.is_dying() {
                std::mem::forget(lock);
                return None;
            }
            assert!(cell.set(ManuallyDrop::new(lock)).is_ok());
        }
        self.handles[core][known.lives.get() - 1].get().map(|lock| &**lock)
    }

    fn call<R>(&self, core: usize, call: impl FnOnce() -> R) -> R {
        self.known[core].in_call.set(true);
        let answer = call();
        self.known[core].in_call.set(false);
        answer
    }

    fn perform(&'s self, core: usize, act: Act) {
        if let Act::Retire(slot) = act {
            return self.retire(slot);
        }
        let Some(lock) = self.handle(core) else { return };
        let known = &self.known[core];
        match act {
            Act::TryLock => {
                let answer = self.call(core, || lock.try_lock());
                let busy = Error::Busy { seen: Word::FREE };
                self.check_acquire(core, answer.and_then(|guard| guard.ok_or(busy)).map(Some));
            }
            Act::Lock(waiting, proves) => {
                let mut wait = waiting.begin(self);
                let answer = self.call(core, || self.lock(lock, &mut wait, proves));
                self.check_acquire(core, answer.map(Some));
            }
            Act::Acquire(waiting, proves) => {
                let mut wait = waiting.begin(self);
                let answer = self.call(core, || {
                    if proves {
                        lock.acquire_or_recover(&mut wait, &mut self.proof())
                    } else {
                        lock.acquire(&mut wait)
                    }
                });
                self.check_acquire(core, answer.map(|()| None));
            }
            Act::Release => self.release(core, lock),
            Act::DropGuard => drop(self.end_guard(core, false)),
            Act::ReleaseGuard => drop(self.end_guard(core, true)),
            Act::ForgetGuard => drop(self.newest_guard(core)), // stays counted
            Act::Declare => match lock.declare_consistent() {
                Ok(()) => {
                    assert!(known.holds.get() > 0);
                    self.undeclared.set(false);
                }
                Err(Error::Overwritten { .. }) => assert!(!self.clean.get()),
                Err(error) => assert!(known.holds.get() == 0 && error == Error::NotHeld),
            },
            Act::Look => self.look(core, lock),
            Act::Retire(_) => {}
        }
    }

    fn check_acquire(&self, core: usize, answer: Result<Option<Guard<'s>>, Error>) {
        let known = &self.known[core];
        let guard = match answer {
            Ok(guard) => guard.map(ManuallyDrop::new),
            _ if self.script.is_dying() => return,
            Err(Error::Busy { .. }) => return assert_eq!(known.holds.get(), 0),
            Err(Error::Overwritten { .. }) => {
                return assert!(known.holds.get() > 0 && !self.clean.get());
            }
            Err(Error::PlainTokens) => return assert!(!self.clean.get()),
            Err(error) => panic!("{error:?}"),
        };
        if self.script.is_dying() {
            return;
        }
        let is_first = known.holds.get() == 0;
        if is_first && self.clean.get() {
            let holds = |known: &Known| known.runs.get() && known.holds.get() > 0;
            let other = self.known.iter().position(holds);
            assert!(other.is_none(), "two holders: {core}, {other:?}: {:?}", self.words());
        }
        known.holds.set(known.holds.get() + 1);
        if let Some(guard) = guard {
            if is_first {
                self.check_told(guard.owner_died());
                let before = self.fencing_token.replace(guard.fencing_token());
                assert!(!self.is_all_clean() || guard.fencing_token() > before);
            }
            known.guards.set(known.guards.get() + 1);
            self.guards.borrow_mut().push((core, guard));
        }
    }

    fn check_told(&self, died: bool) {
        assert!(!self.clean.get() || died == self.undeclared.get(), "{:?}", self.words());
    }

    fn release(&self, core: usize, lock: &Lock<'s>) {
        let Known { holds, guards, .. } = &self.known[core];
        let expected = match (holds.get(), guards.get()) {
            (0, _) => Err(Error::NotHeld),
            (holds, guards) if holds == guards => Err(Error::GuardsAlive { guards }),
            _ => Ok(()),
        };
        holds.set(holds.get() - u32::from(expected.is_ok()));
        let answer = self.call(core, || lock.release());
        self.check_release(&answer, &expected);
    }

    fn check_release(&self, answer: &Result<(), Error>, expected: &Result<(), Error>) {
        let overwritten = matches!(answer, Err(Error::Overwritten { .. })) && !self.clean.get();
        let void = self.script.is_dying() || overwritten;
        assert!(void || answer == expected, "{answer:?} not {expected:?}");
    }

    fn newest_guard(&self, core: usize) -> Option<ManuallyDrop<Guard<'s>>> {
        let mut guards = self.guards.borrow_mut();
        let newest = guards.iter().rposition(|&(of, _)| of == core)?;
        Some(guards.remove(newest).1)
    }

    /// Returns `true` if there was a guard.
    fn end_guard(&self, core: usize, explicitly: bool) -> bool {
        let Some(guard) = self.newest_guard(core) else { return false };
        let Known { holds, guards, .. } = &self.known[core];
        holds.set(holds.get() - 1);
        guards.set(guards.get() - 1);
        let guard = ManuallyDrop::into_inner(guard);
        if explicitly {
            let answer = self.call(core, || guard.release());
            self.check_release(&answer, &Ok(()));
        } else {
            self.call(core, || drop(guard));
        }
        true
    }

    fn look(&self, core: usize, lock: &Lock<'s>) {
        let holder = self.region.holder(shmlock_core::fence::FullSystem);
        let text = holder.as_ref().map(Holder::to_string).unwrap_or_default();
        assert!(!text.contains(char::is_control), "{text:?} has control characters");
        let known = &self.known[core];
        assert!(!self.clean.get() || lock.is_held() == (known.holds.get() > 0));
        assert!(lock.has_epoch_tokens() || !self.clean.get());
        let _ = (self.region.acquisitions(), self.region.contended(), lock.owes_wake());
        let resumed = self.roll.resume_boot(slot(core)).expect("a slot");
        assert!(!self.clean.get() || resumed.map(|boot| boot.id()) == known.boot.get());
        let no_slot = Slot::new(4).and_then(|slot| self.roll.last_boot(slot).err());
        assert_eq!(no_slot, Some(Error::NoSuchSlot { slot: 4, slots: 3 }));
    }

    /// Retires the last boot of a core that is found not to run.
    fn retire(&'s self, number: u8) {
        let core = usize::from(number) % CORES;
        let known = &self.known[core];
        if known.is_retired_now.replace(true) {
            return;
        }
        let boot = self.roll.last_boot(slot(core)).expect("a slot");
        self.step();
        if let Some(boot) = boot.filter(|_| !known.runs.get()) {
            self.step(); // it may be started now
            self.roll.with_fence(Hook(self)).retire(boot).expect("a slot");
        }
        known.is_retired_now.set(false);
    }
}

impl<'s> Stage<'s> for Cores<'s> {
    type Act = Act;

    fn script(&self) -> &Script<'s, Act> {
        &self.script
    }

    fn parties(&self) -> usize {
        CORES
    }

    fn words(&self) -> Vec<u32> {
        self.memory.copy()
    }

    fn set_words(&self, words: &[u32]) {
        for (word, &value) in self.memory.words().iter().zip(words) {
            word.store(value, Relaxed);
        }
    }

    fn act(&'s self, core: usize, act: &Act) {
        let (before, happened) = (self.words(), self.script.happened());
        self.perform(core, *act);
        if self.script.is_dying() || self.script.happened() != happened {
            return;
        }
        let mine = ROLL + 4 + 2 * core;
        let retired = match act {
            Act::Retire(number) => ROLL + 5 + 2 * (usize::from(*number) % CORES),
            _ => mine,
        };
        for (index, (before, after)) in before.iter().zip(self.words()).enumerate() {
            let may = index == mine || index == retired || index >= REGION;
            assert!(*before == after || may, "{index}: {act:?}");
        }
    }

    fn disturb(&self, core: usize) {
        let known = &self.known[core];
        let life = known.lives.get().checked_sub(1);
        let Some(lock) = life.and_then(|life| self.handles[core][life].get()) else { return };
        if !known.in_call.get() {
            return;
        }
        let before = self.words();
        assert_eq!(lock.try_lock().map(drop), Err(Error::InUse));
        assert_eq!(lock.release(), Err(Error::InUse));
        assert_eq!(lock.declare_consistent(), Err(Error::InUse));
        assert!(!lock.is_held() && lock.fencing_token().is_none());
        assert_eq!(before, self.words());
    }

    fn write(&self, at: usize, value: u32) {
        let index = at % WORDS;
        if self.memory.words()[index].swap(value, Relaxed) == value {
            return;
        }
        match index {
            GENERATION | GENERATION_HIGH | RECOVERIES => self.counters_clean.set(false),
            2 | 4..10 | REGION | 18 => self.clean.set(false),
            _ => {} // reserved, unused, or the record
        }
    }

    fn die(&self, core: usize) {
        let known = &self.known[core];
        if !known.runs.replace(false) {
            return;
        }
        known.in_call.set(false);
        self.guards.borrow_mut().retain(|&(of, _)| of != core);
        let owner = token_part(self.memory.words()[REGION].load(Relaxed) & !DIED);
        if known.boot.get().is_some_and(|boot| boot.token().get() == owner) {
            self.undeclared.set(true);
            self.deaths.set(self.deaths.get() + 1);
            known.boot.set(None); // this death counts once
        }
    }
}

fn slot(core: usize) -> Slot {
    u8::try_from(core + 1).ok().and_then(Slot::new).expect("1 to 3")
}
