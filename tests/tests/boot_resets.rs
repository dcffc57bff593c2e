//! Resets a core after each instruction of a boot: whatever its memory is then, the next boot and a
//! waiter recover exactly once.
//!
//! With the trap flag set, the processor traps after each instruction, and Linux sends SIGTRAP
//! (`sigaction(2)`). The handler copies the shared memory whenever it has changed. Each copy is
//! the memory that a core leaves behind if it is reset there.

#![cfg(target_arch = "x86_64")]
#![allow(unsafe_code, reason = "handles a signal, sets a processor flag, opens raw memory")]

use core::arch::asm;
use core::ffi::{c_int, c_void};
use core::mem::zeroed;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU32, AtomicUsize};
use std::sync::{Mutex, MutexGuard, PoisonError};

use shmlock_core::fence::InnerShareable;
use shmlock_core::layout::{REGION_LEN, roll_len};
use shmlock_core::protocol;
use shmlock_core::roll::{Boot, BootLiveness, Roll, Slot};
use shmlock_core::wait::{Wait, WaitAction, WaitContext};
use shmlock_core::{EpochRegion, Error, RegionLock, Word};

/// The core that is reset, another one, and a waiter.
const VICTIM: Slot = Slot::new(1).unwrap();
const OTHER: Slot = Slot::new(2).unwrap();
const WAITER: Slot = Slot::new(3).unwrap();

const WORDS: usize = (REGION_LEN + roll_len(3)) / 4;
const DIED: u32 = 1 << 30;

/// A region and a roll of three slots.
struct Memory([AtomicU32; WORDS]);

impl Memory {
    const fn zeroed() -> Self {
        Self([const { AtomicU32::new(0) }; WORDS])
    }

    fn copy(&self) -> [u32; WORDS] {
        core::array::from_fn(|index| self.0[index].load(Relaxed))
    }

    fn fill(&self, words: &[u32; WORDS]) {
        self.0.iter().zip(words).for_each(|(word, &value)| word.store(value, Relaxed));
    }

    fn region(&self) -> EpochRegion<'_> {
        // SAFETY: 128 bytes at the beginning of the array, which are accessed as atomics only.
        unsafe { EpochRegion::from_raw(NonNull::from(&self.0).cast(), REGION_LEN) }
            .expect("untouched, or of boots")
    }

    fn roll(&self) -> Roll<'_> {
        // SAFETY: within the array.
        let address = unsafe { NonNull::from(&self.0).cast::<u8>().add(REGION_LEN) };
        // SAFETY: the rest of the array, which is accessed as atomics only.
        unsafe { Roll::from_raw(address, roll_len(3)) }.expect("untouched, or a roll")
    }

    fn begin(&self, slot: Slot) -> Boot {
        self.roll().begin_boot(slot).expect("in the roll")
    }

    fn start(&self, slot: Slot) -> RegionLock<'_> {
        RegionLock::for_boot(self.region(), &self.begin(slot))
    }

    /// Starts the core of a slot, and resets it in its critical section.
    fn reset_inside(&self, slot: Slot) {
        let lock = self.start(slot);
        core::mem::forget(lock.try_lock().expect("at rest").expect("free"));
    }

    /// Returns whether an acquisition, which may recover, succeeds, and is told of a death. It
    /// declares the data consistent.
    fn acquire(&self, lock: &RegionLock<'_>) -> Option<bool> {
        let guard = lock.lock_or_recover(&mut Probing(3), &mut BootLiveness::new(self.roll()));
        let guard = match guard {
            Ok(guard) => guard,
            Err(Error::Busy { .. }) => return None,
            Err(other) => panic!("{other:?}"),
        };
        let told = guard.owner_died();
        guard.declare_consistent().expect("ours");
        guard.release().expect("ours");
        Some(told)
    }

    /// Returns the slot that the owner word names.
    fn named(&self) -> Option<Slot> {
        Slot::of_token(self.region().word().owner()?).map(|(slot, _)| slot)
    }
}

/// Sets WAITERS and probes, so many times.
struct Probing(u32);

impl Wait for Probing {
    fn wait(&mut self, context: &mut WaitContext<'_>) -> WaitAction {
        let _ = context.set_waiters();
        match self.0.checked_sub(1) {
            Some(left) => {
                self.0 = left;
                WaitAction::Probe
            }
            None => WaitAction::GiveUp,
        }
    }
}

static SHARED: Memory = Memory::zeroed();
/// The memories that a core left behind.
static LEFT: [Memory; 256] = [const { Memory::zeroed() }; 256];
static COUNT: AtomicUsize = AtomicUsize::new(0);
static INSTRUCTIONS: AtomicUsize = AtomicUsize::new(0);
/// One test at a time uses them.
static TURN: Mutex<()> = Mutex::new(());

const TRAP_FLAG: u32 = 0x100;

/// Notes the memory if it has changed. Async-signal-safe: atomics only.
extern "C" fn on_trap(_: c_int, _: *mut libc::siginfo_t, _: *mut c_void) {
    INSTRUCTIONS.fetch_add(1, Relaxed);
    let count = COUNT.load(Relaxed);
    let (now, before) = (&SHARED.0, &LEFT[count - 1].0);
    if now.iter().zip(before).any(|(now, before)| now.load(Relaxed) != before.load(Relaxed)) {
        LEFT[count].fill(&SHARED.copy());
        COUNT.store(count + 1, Relaxed);
    }
}

/// Runs a boot of the victim on the shared memory. Returns all that it left behind.
fn left_by(boot: impl FnOnce()) -> Vec<[u32; WORDS]> {
    // SAFETY: all zero is a valid `sigaction`.
    let mut action: libc::sigaction = unsafe { zeroed() };
    action.sa_flags = libc::SA_SIGINFO;
    action.sa_sigaction = on_trap as extern "C" fn(_, _, _) as usize;
    // SAFETY: a complete action, for a signal that has no other use here.
    assert_eq!(unsafe { libc::sigaction(libc::SIGTRAP, &raw const action, null_mut()) }, 0);
    LEFT[0].fill(&SHARED.copy());
    COUNT.store(1, Relaxed);
    INSTRUCTIONS.store(0, Relaxed);
    // SAFETY: sets only the trap flag; the handler is installed.
    unsafe { asm!("pushfq", "or dword ptr [rsp], {flag}", "popfq", flag = const TRAP_FLAG) };
    boot();
    // SAFETY: clears only the trap flag.
    unsafe { asm!("pushfq", "and dword ptr [rsp], {rest}", "popfq", rest = const !TRAP_FLAG) };
    assert!(INSTRUCTIONS.load(Relaxed) > 100, "the processor did not trap");
    LEFT[..COUNT.load(Relaxed)].iter().map(Memory::copy).collect()
}

/// What happens after the reset.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// The core comes back, and acquires first.
    Boot,
    /// It comes back, is reset before it looks at the region, and comes back again.
    TwoBoots,
    /// It comes back; a waiter acquires between its count and its look at the region.
    WaiterBetween,
    /// It comes back; a waiter acquires before it.
    WaiterFirst,
    /// Its supervisor retires the boot, a waiter acquires, and then it comes back.
    Retired,
}

/// Checks one memory that a core left behind. If `OTHER` lives and has the lock, it releases it
/// first. Returns whether a dead owner had the lock.
fn check(left: &[u32; WORDS], other_lives: bool, then: Then) -> bool {
    let memory = Memory::zeroed();
    memory.fill(left);
    let waiter = memory.start(WAITER);
    if let Some(owner) = memory.region().word().owner() {
        if other_lives && memory.named() == Some(OTHER) {
            assert_eq!(memory.acquire(&waiter), None, "a living owner was robbed");
            let released = protocol::release(memory.region().owner_word(), owner, InnerShareable);
            assert!(released.is_ok());
        }
    }
    let word = memory.region().word();
    let (dead, died) = (!word.is_free(), word.bits() & DIED != 0);
    let recoveries = memory.region().recoveries();
    let (first, second) = match then {
        Then::Boot | Then::TwoBoots | Then::WaiterFirst => {
            if matches!(then, Then::TwoBoots) {
                let _ = memory.begin(VICTIM);
            }
            let core = memory.start(VICTIM);
            if matches!(then, Then::WaiterFirst) {
                let told = memory.acquire(&waiter);
                (told, memory.acquire(&core))
            } else {
                let told = memory.acquire(&core);
                (told, memory.acquire(&waiter))
            }
        }
        Then::WaiterBetween => {
            let boot = memory.begin(VICTIM);
            let told = memory.acquire(&waiter);
            let core = RegionLock::for_boot(memory.region(), &boot);
            (told, memory.acquire(&core))
        }
        Then::Retired => {
            if let Some(last) = memory.roll().last_boot(VICTIM).expect("in the roll") {
                memory.roll().retire(last).expect("in the roll");
            }
            let told = memory.acquire(&waiter);
            (told, memory.acquire(&memory.start(VICTIM)))
        }
    };
    assert_eq!((first, second), (Some(dead || died), Some(false)), "{then:?}, {word:?}");
    let recovered = memory.region().recoveries() - recoveries;
    assert_eq!(recovered, u32::from(dead), "{then:?}, {word:?}");
    assert!(memory.region().word().is_free_and_consistent());
    dead
}

/// Checks each memory that a boot of the victim leaves behind, with all that can happen then. At
/// least so many memories are different, and so many name a dead owner.
fn check_all(other_lives: bool, boot: impl FnOnce(), different: usize, dead: usize) {
    let left = left_by(boot);
    let mut named = 0;
    for left in &left {
        for then in
            [Then::Boot, Then::TwoBoots, Then::WaiterBetween, Then::WaiterFirst, Then::Retired]
        {
            named += usize::from(check(left, other_lives, then));
        }
    }
    assert!(left.len() >= different, "only {} memories are different", left.len());
    assert!(named / 5 >= dead, "only {named} checks found a dead owner");
}

/// Runs a boot of the victim: it acquires the lock, or waits for a while, and releases it.
fn visit() {
    let lock = SHARED.start(VICTIM);
    let _ = SHARED.acquire(&lock);
}

/// Begins a test with shared memory that is all zero.
fn begin() -> MutexGuard<'static, ()> {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    SHARED.fill(&[0; WORDS]);
    turn
}

#[test]
fn a_core_is_reset_anywhere_from_its_first_boot_on() {
    let _turn = begin();
    // The magics, the count; word, generation; release.
    check_all(false, visit, 6, 2);
}

#[test]
fn a_core_is_reset_anywhere_while_a_living_one_holds_the_lock() {
    let _turn = begin();
    SHARED.reset_inside(OTHER); // no reset: it begins no other boot
    check_all(true, visit, 3, 0);
}

#[test]
fn a_core_is_reset_anywhere_while_it_recovers_from_another() {
    let _turn = begin();
    SHARED.reset_inside(OTHER);
    let _ = SHARED.begin(OTHER);
    check_all(false, visit, 7, 4);
}

#[test]
fn a_core_is_reset_anywhere_while_it_frees_what_it_held_before() {
    let _turn = begin();
    SHARED.reset_inside(VICTIM);
    check_all(false, visit, 6, 4);
}

#[test]
fn a_core_is_reset_anywhere_while_it_releases_to_a_waiter() {
    let release_to_a_waiter = || {
        let lock = SHARED.start(VICTIM);
        lock.acquire(&mut Probing(0)).expect("free");
        let held = Word::held_by(lock.token());
        let _ = protocol::set_waiters(SHARED.region().owner_word(), held);
        lock.release().expect("ours");
    };
    let _turn = begin();
    check_all(false, release_to_a_waiter, 7, 3);
}
