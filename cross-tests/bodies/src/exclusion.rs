//! Tests mutual exclusion by a lock with every fence scope, and by the broken lock as a control.

use shmlock_core::{Fence, FenceScope, RegionLock, fence};

use crate::arena::Member;
use crate::broken::BrokenLock;
use crate::ledger::Tally;

/// A lock, or a broken one.
trait Exclude {
    fn critical_section(&self, member: &Member<'_>, act: impl FnOnce());
}

impl<F: Fence> Exclude for RegionLock<'_, F> {
    fn critical_section(&self, member: &Member<'_>, act: impl FnOnce()) {
        let guard = self.lock(&mut member.patience()).expect("the owner releases it");
        act();
        guard.release().expect("the word is written by the protocol only");
    }
}

impl Exclude for BrokenLock<'_> {
    fn critical_section(&self, member: &Member<'_>, act: impl FnOnce()) {
        member.until("the broken lock looks free", || self.try_acquire());
        act();
        self.release();
    }
}

/// Visits the critical section `rounds` times by each member, and returns the tally.
fn visits(member: &Member<'_>, rounds: u32, lock: &impl Exclude) -> Tally {
    let ledger = &member.arena.ledger;
    if member.is_first() {
        ledger.clear();
    }
    member.barrier();
    for _ in 0..rounds {
        lock.critical_section(member, || ledger.visit(member.index()));
    }
    member.barrier();
    let tally = ledger.tally();
    member.barrier();
    tally
}

fn nothing_lost(member: &Member<'_>, rounds: u32) -> Tally {
    Tally { visits: rounds.wrapping_mul(member.members()), torn: false }
}

pub(crate) fn one_at_a_time(member: &mut Member<'_>, rounds: u32) {
    assert_eq!(visits(member, rounds, &member.lock()), nothing_lost(member, rounds));
}

pub(crate) fn one_at_a_time_in_the_full_system(member: &mut Member<'_>, rounds: u32) {
    let rounds = rounds / 4; // with the scope known at compile time, then at run time
    assert_eq!(
        visits(member, rounds, &member.lock_with(fence::FullSystem)),
        nothing_lost(member, rounds)
    );
    assert_eq!(
        visits(member, rounds, &member.lock_with(FenceScope::FullSystem)),
        nothing_lost(member, rounds)
    );
}

/// Returns the attempt, of `attempts`, in which `rounds` visits detect the broken lock. `None`
/// means that the test proves nothing on this machine.
pub fn control(member: &mut Member<'_>, rounds: u32, attempts: u32) -> Option<u32> {
    let lock = BrokenLock { word: member.region().owner_word(), me: Member::token(member.index()) };
    (1..=attempts).find(|_| visits(member, rounds, &lock) != nothing_lost(member, rounds))
}
