//! Models the roll of boots: a waiter that reads it robs no living boot, and sees what a boot that
//! is over wrote.
//!
//! After a reset the actor goes on as the next boot, on the same thread: the stores of a core are
//! in order across its reset.

use std::sync::Arc;

use loom::thread;
use shmlock_core::roll::{Boot, BootId, BootLiveness, Roll, RollMemory, Slot};
use shmlock_core::wait::{Wait, WaitAction, WaitContext};
use shmlock_core::{EpochRegion, RegionGuard, RegionLock, RegionMemory};

use crate::critical_section::CriticalSection;
use crate::explore::Bound::Unbounded;
use crate::explore::explore;

/// The cores of slots 1 and 2, and their memory.
struct Cores {
    memory: RegionMemory,
    roll: RollMemory<2>,
    section: CriticalSection,
}

/// The boots before a model begins. Each epoch is one that the slots have had, so a count that is
/// too old is a wrong proof, and not a doubt.
const BEFORE: u32 = 1024;

impl Cores {
    fn new() -> Arc<Self> {
        let cores = Self {
            memory: RegionMemory::new(),
            roll: RollMemory::with_boots(BEFORE),
            section: CriticalSection::new(),
        };
        let _ = (cores.region(), cores.roll()); // writes the magic words before the threads start
        Arc::new(cores)
    }

    fn region(&self) -> EpochRegion<'_> {
        EpochRegion::new(&self.memory).expect("untouched, or of boots")
    }

    fn roll(&self) -> Roll<'_> {
        Roll::new(&self.roll).expect("untouched, or a roll")
    }

    fn begin(&self, slot: u8) -> Boot {
        self.roll().begin_boot(Slot::new(slot).expect("a slot")).expect("in the roll")
    }

    fn handle(&self, boot: &Boot) -> RegionLock<'_> {
        RegionLock::for_boot(self.region(), boot)
    }

    fn is_inside(&self, guard: &RegionGuard<'_, '_>) {
        self.section.begin(guard.owner_died(), guard.fencing_token());
    }

    /// Runs a critical section if the lock is free. Returns whether it did.
    fn visit(&self, lock: &RegionLock<'_>) -> bool {
        let guard = lock.try_lock().expect("at rest");
        if let Some(guard) = &guard {
            self.is_inside(guard);
            self.section.end();
        }
        guard.is_some_and(|guard| guard.release().is_ok())
    }

    /// Runs a critical section if the lock is free, or if one probe proves its owner dead.
    fn visit_or_recover(&self, lock: &RegionLock<'_>) -> bool {
        let mut liveness = BootLiveness::new(self.roll());
        let guard = lock.lock_or_recover(&mut ProbeOnce { probed: false }, &mut liveness).ok();
        if let Some(guard) = &guard {
            self.is_inside(guard);
            self.section.end();
        }
        guard.is_some_and(|guard| guard.release().is_ok())
    }

    /// Acquires the lock if it is free, and is reset in the critical section. Returns whether it
    /// was free.
    fn die_inside(&self, lock: &RegionLock<'_>) -> bool {
        let guard = lock.try_lock().expect("at rest");
        guard
            .map(|guard| {
                self.is_inside(&guard);
                core::mem::forget(guard);
            })
            .is_some()
    }
}

struct ProbeOnce {
    probed: bool,
}

impl Wait for ProbeOnce {
    fn wait(&mut self, _: &mut WaitContext<'_>) -> WaitAction {
        if core::mem::replace(&mut self.probed, true) {
            WaitAction::GiveUp
        } else {
            WaitAction::Probe
        }
    }
}

/// The waiter may see the token of a boot, and has to see its count then.
#[test]
fn a_boot_that_has_just_been_counted_is_not_robbed() {
    explore(Unbounded, || {
        let cores = Cores::new();
        let waiter = cores.begin(2);
        let core = Arc::clone(&cores);
        let core = thread::spawn(move || {
            let boot = core.begin(1);
            core.visit(&core.handle(&boot))
        });
        let entered = cores.visit_or_recover(&cores.handle(&waiter));
        let visits = u32::from(core.join().unwrap()) + u32::from(entered);
        assert_eq!((cores.section.ended(), cores.region().recoveries()), (visits, 0));
    });
}

#[test]
fn a_boot_that_was_reset_inside_is_recovered_once_and_what_it_wrote_is_seen() {
    explore(Unbounded, || {
        let cores = Cores::new();
        let (first, waiter) = (cores.begin(1), cores.begin(2));
        let core = Arc::clone(&cores);
        let core = thread::spawn(move || {
            let died = core.die_inside(&core.handle(&first));
            let second = core.begin(1);
            core.visit(&core.handle(&second));
            died
        });
        cores.visit_or_recover(&cores.handle(&waiter));
        let died = core.join().unwrap();
        assert_eq!(cores.region().word().owner_died(), died);
        assert_eq!(cores.region().recoveries(), u32::from(died));
    });
}

#[test]
fn what_a_retired_boot_wrote_is_seen() {
    explore(Unbounded, || {
        let cores = Cores::new();
        let (core, waiter) = (cores.begin(1), cores.begin(2));
        let id: BootId = core.id();
        let waiting = Arc::clone(&cores);
        let waiting = thread::spawn(move || waiting.visit_or_recover(&waiting.handle(&waiter)));
        let died = cores.die_inside(&cores.handle(&core));
        cores.roll().retire(id).expect("in the roll");
        let entered = waiting.join().unwrap();
        assert!(died || entered);
        let recovered = cores.region().word().owner_died();
        assert_eq!(cores.region().recoveries(), u32::from(recovered));
    });
}
