//! Tests cores that are reset: their next boot, or a waiter with the roll, recovers exactly once,
//! and a waiter whose proof has become old robs no living core.

mod common;

use std::cell::{OnceCell, RefCell};

use common::{DIED, ProofBy, RawMemory, WAITERS, number, probing, take};
use shmlock_core::contend::Liveness;
use shmlock_core::layout::roll_len;
use shmlock_core::roll::{Boot, BootLiveness, Roll, Slot};
use shmlock_core::wait::Spin;
use shmlock_core::{EpochRegion, Error, RegionLock, Token};

const VICTIM: u8 = 1;
const WAITER: u8 = 2;

/// Where the roll begins, behind the region.
const ROLL: usize = 128;

struct Machine(RawMemory);

impl Machine {
    fn new() -> Self {
        Self(RawMemory::zeroed())
    }

    fn roll(&self) -> Roll<'_> {
        self.0.roll_at(ROLL, roll_len(3)).expect("untouched, or a roll")
    }

    fn region(&self) -> EpochRegion<'_> {
        self.0.epoch_region().expect("untouched, or of boots")
    }

    fn boot(&self, slot: u8) -> Boot {
        self.roll().begin_boot(Slot::new(slot).expect("a slot")).expect("in the roll")
    }

    /// Starts the core of a slot.
    fn start(&self, slot: u8) -> RegionLock<'_> {
        RegionLock::for_boot(self.region(), &self.boot(slot))
    }

    /// Starts the core of a slot, and resets it in its critical section. Returns its token.
    fn reset_inside(&self, slot: u8) -> Token {
        let lock = self.start(slot);
        core::mem::forget(take(&lock));
        lock.token()
    }

    fn liveness(&self) -> BootLiveness<'_> {
        BootLiveness::new(self.roll())
    }

    /// Declares the present boot of a slot over, as a supervisor that holds its core in reset.
    fn retire(&self, slot: u8) {
        let last = self.roll().last_boot(Slot::new(slot).expect("a slot")).expect("in the roll");
        self.roll().retire(last.expect("it has begun")).expect("in the roll");
    }

    /// Returns whether an acquisition, which may recover, succeeds, and is told of a death. It
    /// declares the data consistent.
    fn acquire(&self, lock: &RegionLock<'_>) -> Option<bool> {
        match lock.lock_or_recover(&mut probing(3), &mut self.liveness()) {
            Ok(guard) => {
                let told = guard.owner_died();
                guard.declare_consistent().expect("ours");
                Some(told)
            }
            Err(Error::Busy { .. }) => None,
            Err(other) => panic!("{other:?}"),
        }
    }

    /// Returns which of two handles are told of a death, one after the other, and the recoveries.
    fn told(&self, handles: [&RegionLock<'_>; 2]) -> ([Option<bool>; 2], u32) {
        (handles.map(|lock| self.acquire(lock)), self.region().recoveries())
    }
}

const ONCE_BY_THE_FIRST: ([Option<bool>; 2], u32) = ([Some(true), Some(false)], 1);
const NEVER: ([Option<bool>; 2], u32) = ([Some(false), Some(false)], 0);

#[test]
fn a_core_that_is_not_reset_is_never_recovered() {
    let machine = Machine::new();
    let (core, waiter) = (machine.start(VICTIM), machine.start(WAITER));
    assert_eq!(machine.told([&core, &waiter]), NEVER);
    let guard = take(&core);
    assert_eq!(machine.acquire(&waiter), None);
    assert_eq!(guard.release(), Ok(()));
    assert_eq!(machine.told([&waiter, &core]), NEVER);
}

#[test]
fn a_core_that_is_reset_outside_its_critical_section_leaves_nothing_to_recover() {
    let machine = Machine::new();
    let waiter = machine.start(WAITER);
    machine.start(VICTIM); // before its first one
    let core = machine.start(VICTIM);
    drop(take(&core)); // after it
    let next = machine.start(VICTIM);
    assert_eq!(machine.told([&waiter, &next]), NEVER);
    assert_eq!(machine.told([&next, &waiter]), NEVER);
}

#[test]
fn a_core_that_is_reset_inside_recovers_its_own_lock_once() {
    let machine = Machine::new();
    let waiter = machine.start(WAITER);
    machine.reset_inside(VICTIM);
    let next = machine.start(VICTIM);
    assert_eq!(machine.0.get(0), DIED);
    assert_eq!(machine.told([&next, &waiter]), ONCE_BY_THE_FIRST);
}

#[test]
fn a_waiter_that_comes_before_the_next_boot_has_the_lock_is_told_instead() {
    let machine = Machine::new();
    let waiter = machine.start(WAITER);
    machine.reset_inside(VICTIM);
    let next = machine.start(VICTIM);
    assert_eq!(machine.told([&waiter, &next]), ONCE_BY_THE_FIRST);
}

#[test]
fn a_waiter_recovers_between_the_count_of_a_boot_and_its_first_look_at_the_region() {
    let machine = Machine::new();
    let waiter = machine.start(WAITER);
    machine.reset_inside(VICTIM);
    assert_eq!(machine.acquire(&waiter), None, "the roll knows of no death yet");
    let boot = machine.boot(VICTIM);
    assert_eq!(machine.acquire(&waiter), Some(true));
    let next = RegionLock::for_boot(machine.region(), &boot);
    assert_eq!(machine.told([&next, &waiter]), ([Some(false), Some(false)], 1));
}

#[test]
fn a_core_that_is_reset_twice_in_a_row_is_recovered_once_for_each_critical_section() {
    let machine = Machine::new();
    let waiter = machine.start(WAITER);
    machine.reset_inside(VICTIM);
    let _ = machine.boot(VICTIM); // reset before it looks at the region
    let next = machine.start(VICTIM);
    assert_eq!(machine.told([&next, &waiter]), ONCE_BY_THE_FIRST);

    let machine = Machine::new();
    let waiter = machine.start(WAITER);
    machine.reset_inside(VICTIM);
    machine.reset_inside(VICTIM); // the second recovers from the first, and is reset inside
    let third = machine.start(VICTIM);
    let (told, recoveries) = machine.told([&third, &waiter]);
    assert_eq!((told, recoveries), ([Some(true), Some(false)], 2));
}

#[test]
fn a_core_that_is_reset_while_it_recovers_from_another_is_recovered_in_its_turn() {
    let machine = Machine::new();
    let third = machine.start(3);
    machine.reset_inside(WAITER);
    let _ = machine.boot(WAITER);
    let core = machine.start(VICTIM);
    core::mem::forget(
        core.lock_or_recover(&mut probing(1), &mut machine.liveness()).expect("dead"),
    );
    assert_eq!(
        (machine.0.get(0), machine.region().recoveries()),
        (core.token().get() | WAITERS | DIED, 1)
    );
    let next = machine.start(VICTIM);
    let (told, recoveries) = machine.told([&next, &third]);
    assert_eq!((told, recoveries), ([Some(true), Some(false)], 2));
}

#[test]
fn the_next_boot_owes_the_wake_that_its_former_boot_owed() {
    for (flags, owed) in [(0, false), (WAITERS, true), (DIED, false), (WAITERS | DIED, true)] {
        let machine = Machine::new();
        let former = machine.reset_inside(VICTIM);
        machine.0.set(0, former.get() | flags);
        let next = machine.start(VICTIM);
        assert_eq!((next.owes_wake(), next.is_held(), machine.0.get(0)), (owed, false, DIED));
    }
}

#[test]
fn a_boot_leaves_another_cores_lock_alone() {
    let machine = Machine::new();
    let waiter = machine.start(WAITER);
    let guard = take(&waiter);
    let before = machine.0.bytes();
    let core = machine.start(VICTIM);
    assert!(!core.owes_wake());
    assert_eq!(machine.0.bytes(), before);
    drop(guard);
}

#[test]
fn a_core_that_never_comes_back_is_recovered_when_its_supervisor_retires_its_boot() {
    let machine = Machine::new();
    let (waiter, third) = (machine.start(WAITER), machine.start(3));
    machine.reset_inside(VICTIM);
    assert_eq!(machine.acquire(&waiter), None);
    machine.retire(VICTIM);
    assert_eq!(machine.told([&waiter, &third]), ONCE_BY_THE_FIRST);
}

#[test]
fn a_core_that_comes_back_although_its_boot_was_retired_is_not_robbed() {
    let machine = Machine::new();
    let waiter = machine.start(WAITER);
    machine.reset_inside(VICTIM);
    machine.retire(VICTIM);
    let next = machine.start(VICTIM);
    let guard = take(&next);
    assert!(guard.owner_died());
    assert_eq!(machine.acquire(&waiter), None);
    assert_eq!((guard.release(), machine.region().recoveries()), (Ok(()), 1));
}

/// The proof of a waiter, and the events between its look and its use of the proof.
struct Stalled<L, B>(L, B);

impl<L: Liveness, B: FnMut()> Liveness for Stalled<L, B> {
    fn while_dead<R>(&mut self, owner: Token, act: impl FnOnce() -> R) -> Option<R> {
        let Self(liveness, between) = self;
        liveness.while_dead(owner, || {
            between();
            act()
        })
    }
}

/// The flaw that epochs cure, on plain static tokens: the state of the core alone is no proof.
#[test]
fn with_plain_tokens_a_waiter_whose_proof_is_old_robs_the_core_that_came_back() {
    let memory = RawMemory::zeroed();
    let [core, restarted, waiter] =
        [1, 1, 2].map(|token| RegionLock::new(memory.region(), number(token)));
    core::mem::forget(take(&core));
    let crashed = ProofBy(|_| true); // as remoteproc said a moment ago
    let mut stalled =
        Stalled(crashed, || restarted.acquire(&mut Spin::attempts(0)).expect("its own token"));
    waiter.acquire_or_recover(&mut probing(1), &mut stalled).expect("robbed");
    assert!(waiter.is_held(), "it is inside");
    let robbed = restarted.release(); // it was inside, too, until now
    assert!(
        matches!(robbed, Err(Error::Overwritten { found }) if found.is_owned_by(waiter.token()))
    );
}

#[test]
fn with_epochs_a_waiter_whose_proof_is_old_robs_no_core_that_came_back() {
    for retired in [false, true] {
        let machine = Machine::new();
        let waiter = machine.start(WAITER);
        machine.reset_inside(VICTIM);
        let (boot, restarted) = (RefCell::new(None), OnceCell::new());
        if retired {
            machine.retire(VICTIM); // the proof, before the core is started
        } else {
            boot.replace(Some(machine.boot(VICTIM))); // the proof: the next boot has begun
        }
        let come_back = || {
            let boot = boot.take().unwrap_or_else(|| machine.boot(VICTIM));
            let lock = restarted.get_or_init(|| RegionLock::for_boot(machine.region(), &boot));
            lock.acquire(&mut Spin::attempts(0)).expect("free");
        };
        let mut stalled = Stalled(machine.liveness(), come_back);
        let result = waiter.acquire_or_recover(&mut probing(1), &mut stalled);
        let core = restarted.get().expect("the proof was used");
        assert_eq!(result, Err(Error::Busy { seen: machine.region().word() }));
        assert!(core.is_held() && core.owner_died() && !waiter.is_held());
        assert_eq!((core.release(), machine.region().recoveries()), (Ok(()), 1));
    }
}

/// 1024 boots later the token is back, and looks alive to others.
#[test]
fn an_owner_whose_token_came_back_is_recovered_by_its_own_core_and_by_the_next_boot() {
    for boots in [1023, 1024] {
        let machine = Machine::new();
        let waiter = machine.start(WAITER);
        machine.reset_inside(VICTIM);
        let boot = (0..boots).map(|_| machine.boot(VICTIM)).last().expect("some");
        assert_eq!(machine.acquire(&waiter), (boots == 1023).then_some(true));
        let core = RegionLock::for_boot(machine.region(), &boot);
        assert_eq!(machine.acquire(&core), Some(boots == 1024));
        assert_eq!(machine.region().recoveries(), 1);
    }
}

/// The start-up code of a core cleared the roll, and left the region.
#[test]
fn a_cleared_roll_does_not_prove_a_living_owner_dead() {
    let machine = Machine::new();
    let waiter = machine.start(WAITER);
    let core = (0..5).map(|_| machine.start(VICTIM)).last().expect("some");
    let guard = take(&core);
    machine.0.put(ROLL, &[0; 40]);
    assert_eq!(machine.acquire(&waiter), None);
    assert_eq!(guard.release(), Ok(()));
}

/// The token 2000 reads as one of slot 1, which has booted twice meanwhile.
#[test]
fn the_roll_judges_no_owner_with_a_plain_token() {
    let machine = Machine::new();
    let region = machine.0.region();
    let (owner, waiter) =
        (RegionLock::new(region, number(2000)), RegionLock::new(region, number(2)));
    let guard = take(&owner);
    machine.0.set(ROLL + 16, 977);
    let before = machine.0.bytes();
    let mut proof = machine.liveness();
    assert!(machine.roll().is_over(owner.token()), "the proof would rob it");
    assert_eq!(waiter.lock_or_recover(&mut probing(3), &mut proof).err(), Some(Error::PlainTokens));
    assert_eq!(waiter.acquire_or_recover(&mut probing(3), &mut proof), Err(Error::PlainTokens));
    assert_eq!(machine.0.bytes(), before);
    assert_eq!(guard.release(), Ok(()));
    // Nor while the lock is free: the mistake shows at the first call.
    assert_eq!(waiter.acquire_or_recover(&mut probing(3), &mut proof), Err(Error::PlainTokens));
}
