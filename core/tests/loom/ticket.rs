//! Models the ticket lock: the product's own steps and loop.
//!
//! **Loom is no proof of its fences.** Even unbounded, it does not notice the removal of the fence
//! between the number and the end of the doorway. Under Arm's memory model two owners are possible
//! then. The litmus tests are the proof. These models show that the code does the steps that
//! `tests/model` searches, with the data in a plain cell.

use std::num::NonZeroU16;
use std::sync::Arc;

use loom::thread;
use shmlock_core::contend::Liveness;
use shmlock_core::fence::InnerShareable;
use shmlock_core::wait::{Spin, Wait, WaitAction, WaitContext};
use shmlock_core::{Error, Fence, TicketGuard, TicketLock, TicketMemory, TicketRegion, Token};

use crate::critical_section::CriticalSection;
use crate::explore::Bound::Preemptions;
use crate::explore::explore;

/// A region that lives as long as the threads, and the data. A region is a few words: it leaks.
struct World<const N: usize> {
    region: TicketRegion<'static, N>,
    section: Arc<CriticalSection>,
}

impl<const N: usize> World<N> {
    fn new() -> Self {
        let memory = Box::leak(Box::new(TicketMemory::new()));
        let region = TicketRegion::from_static(memory).expect("untouched");
        Self { region, section: Arc::new(CriticalSection::new()) }
    }

    /// Returns a party that has begun its life.
    fn party<F: Fence>(&self, number: u16, fence: F) -> Party<N, F> {
        let number = NonZeroU16::new(number).expect("from 1");
        let lock = TicketLock::with_fence(self.region, number, fence).expect("one of them");
        lock.recover().expect("at rest");
        Party { lock, section: Arc::clone(&self.section) }
    }
}

struct Party<const N: usize, F: Fence> {
    lock: TicketLock<'static, N, F>,
    section: Arc<CriticalSection>,
}

impl<const N: usize, F: Fence> Party<N, F> {
    fn begin(&self, guard: &TicketGuard<'_, '_, N, F>) {
        self.section.begin(guard.owner_died(), guard.fencing_token());
    }

    fn visit(&self) {
        let guard = self.lock.lock(&mut Spin::attempts(u32::MAX)).expect("does not give up");
        self.begin(&guard);
        self.section.end();
    }

    fn try_visit(&self) -> u32 {
        let Some(guard) = self.lock.try_lock().expect("at rest") else { return 0 };
        self.begin(&guard);
        self.section.end();
        1
    }
}

fn contend<F: Fence + 'static>(fence: F, mine: u32, others: u32) {
    let world = World::<2>::new();
    let (one, two) = (world.party(1, fence), world.party(2, fence));
    let other = thread::spawn(move || (0..others).for_each(|_| two.visit()));
    (0..mine).for_each(|_| one.visit());
    other.join().unwrap();
    assert_eq!(world.section.ended(), mine + others);
    assert_eq!(world.region.acquisitions(), u64::from(mine + others));
}

#[test]
fn two_parties_exclude_each_other_by_tickets() {
    explore(Preemptions(3), || contend(InnerShareable, 1, 1));
}

#[test]
fn a_party_that_comes_again_waits_for_its_turn() {
    explore(Preemptions(2), || contend(InnerShareable, 2, 1));
}

/// The barrier of the full system is one instruction on ARM, which loom does not see.
#[test]
#[cfg(not(any(target_arch = "arm", target_arch = "aarch64")))]
fn two_parties_exclude_each_other_by_tickets_across_the_full_system() {
    explore(Preemptions(2), || contend(shmlock_core::fence::FullSystem, 1, 1));
}

#[test]
fn three_parties_that_try_exclude_each_other_by_tickets() {
    explore(Preemptions(2), || {
        let world = World::<3>::new();
        let [one, two, three] = [1, 2, 3].map(|number| world.party(number, InnerShareable));
        let others = [two, three].map(|party| thread::spawn(move || party.try_visit()));
        let mut entered = one.try_visit();
        for other in others {
            entered += other.join().unwrap();
        }
        assert_eq!(world.section.ended(), entered);
    });
}

/// A party dies inside and starts again; the other is told, or the party itself, whichever comes
/// first.
#[test]
fn a_party_that_restarts_lets_the_next_owner_know_of_its_death() {
    explore(Preemptions(2), || {
        let world = World::<2>::new();
        let first_life = world.party(1, InnerShareable);
        let guard = first_life.lock.try_lock().expect("at rest").expect("free");
        first_life.begin(&guard);
        std::mem::forget(guard);
        std::mem::forget(first_life.lock);
        let two = world.party(2, InnerShareable);
        let other = thread::spawn(move || two.visit());
        let second_life = world.party(1, InnerShareable);
        second_life.visit();
        other.join().unwrap();
        assert_eq!(world.section.ended(), 2);
        assert_eq!(world.region.recoveries(), 1);
    });
}

/// Proof that party 1 is dead.
struct FirstIsDead;

impl Liveness for FirstIsDead {
    fn while_dead<R>(&mut self, owner: Token, act: impl FnOnce() -> R) -> Option<R> {
        (owner.get() == 1).then(act)
    }
}

/// Probes after each failed attempt.
struct Probing;

impl Wait for Probing {
    fn wait(&mut self, _context: &mut WaitContext<'_>) -> WaitAction {
        thread::yield_now();
        WaitAction::Probe
    }
}

/// Two survivors pass a dead owner, each by its own proof; one declares the data consistent.
#[test]
fn survivors_with_proof_exclude_each_other() {
    fn survive(party: &Party<3, InnerShareable>) -> Result<(), Error> {
        let guard = party.lock.lock_or_recover(&mut Probing, &mut FirstIsDead)?;
        party.begin(&guard);
        party.section.end();
        if guard.owner_died() {
            party.section.declare_consistent();
            guard.declare_consistent()?;
        }
        Ok(())
    }
    explore(Preemptions(2), || {
        let world = World::<3>::new();
        let dead = world.party(1, InnerShareable);
        let guard = dead.lock.try_lock().expect("at rest").expect("free");
        dead.begin(&guard);
        std::mem::forget(guard);
        std::mem::forget(dead.lock);
        let (two, three) = (world.party(2, InnerShareable), world.party(3, InnerShareable));
        let other = thread::spawn(move || survive(&two).unwrap());
        survive(&three).unwrap();
        other.join().unwrap();
        assert_eq!(world.section.ended(), 2);
    });
}

/// An owner leaves, and another party enters, while a third thread looks. Neither is taken for dead,
/// whether the look names the first, the second or none.
#[test]
fn a_look_from_outside_takes_no_living_owner_for_dead() {
    explore(Preemptions(2), || {
        let world = World::<2>::new();
        let region = world.region;
        let parties = [1, 2].map(|number| world.party(number, InnerShareable));
        let owners = thread::spawn(move || parties.iter().for_each(Party::visit));
        assert!(!region.owner_died());
        owners.join().unwrap();
        assert!(!region.owner_died());
    });
}
