//! Never two in the section: by a lock with every scope of fences, and the control by a lock with a
//! hole.

use shmlock_core::{Fence, FenceScope, RegionLock, fence};

use crate::arena::Member;
use crate::broken::BrokenLock;
use crate::ledger::Tally;

/// Something that lets one member into the section at a time, or should.
trait Doorkeeper {
    fn section(&self, member: &Member<'_>, act: impl FnOnce());
}

impl<F: Fence> Doorkeeper for RegionLock<'_, F> {
    fn section(&self, member: &Member<'_>, act: impl FnOnce()) {
        let guard = self.lock(&mut member.patience()).expect("whoever has it gives it back");
        act();
        guard.release().expect("nobody else writes to the word");
    }
}

impl Doorkeeper for BrokenLock<'_> {
    fn section(&self, member: &Member<'_>, act: impl FnOnce()) {
        member.until("the broken lock looks free", || self.try_take());
        act();
        self.give();
    }
}

/// All members visit the section `rounds` times each; says what the ledger says afterwards.
fn visits(member: &Member<'_>, rounds: u32, door: &impl Doorkeeper) -> Tally {
    let ledger = &member.arena.ledger;
    if member.leads() {
        ledger.clear();
    }
    member.barrier();
    for _ in 0..rounds {
        door.section(member, || ledger.visit(member.index()));
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
    let rounds = rounds / 4; // half of it with the scope known at compile time, half at run time
    assert_eq!(
        visits(member, rounds, &member.lock_with(fence::FullSystem)),
        nothing_lost(member, rounds)
    );
    assert_eq!(
        visits(member, rounds, &member.lock_with(FenceScope::FullSystem)),
        nothing_lost(member, rounds)
    );
}

/// The negative control: whether the test above notices a lock with a hole, within so many
/// `attempts` of `rounds` visits.
///
/// Gives back in which attempt it did. `None` means that the test, on this machine, proves nothing.
pub fn control(member: &mut Member<'_>, rounds: u32, attempts: u32) -> Option<u32> {
    let door = BrokenLock { word: member.region().owner_word(), me: Member::token(member.index()) };
    (1..=attempts).find(|_| visits(member, rounds, &door) != nothing_lost(member, rounds))
}
