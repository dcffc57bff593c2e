//! Maps equivalent states to one canonical form. These differences do not count:
//!
//! * **Leases and revisions** are equal or not, and earlier or later. So they are numbered anew,
//!   in their order, without gaps. Names of keys are leases, and go along.
//! * **Leases that nothing names** have no effect: no key is bound to them, and no contender and no
//!   request knows of them. A lost answer to a grant leaves such a lease.
//! * **A lost lease** leaves one thing to do: to withdraw. Answers under way change nothing:
//!   [`World::check`] has just asked the product's code.
//! * **An answer that is too old** would give a deadline that has passed.
//! * **Contenders** are alike, so their order does not count.
//! * **A watch that has been told**, or has fallen silent, hears no more of its keys.

use super::flaw::Flaw;
use super::scope::Scope;
use super::server::{Answer, ENDED, KEYS, Key, LEASES, Watch};
use super::world::{Contender, Keep, Phase, Stray, World, is_too_old};

/// Returns the canonical form.
pub(super) fn of(mut world: World, scope: &Scope) -> World {
    for one in &mut world.contenders {
        forget(one, scope);
    }
    if world.is_stray_vain() {
        world.stray = Stray::None;
    }
    if scope.writes {
        world.forget_writes();
    }
    if !scope.has(Flaw::Restored) {
        world.number_leases(scope);
        world.number_revisions(scope);
        world.number_acquisitions();
    }
    world.contenders[..scope.contenders].sort_unstable();
    world
}

/// Forgets what has no effect on this contender any more.
fn forget(one: &mut Contender, scope: &Scope) {
    if one.is_lost() && one.lease != 0 {
        (one.answer, one.watch, one.keep) = (Answer::None, Watch::NONE, Keep::None);
        (one.left, one.is_found_lost, one.is_evicted) = (0, true, false);
    }
    if let Answer::Read { watch, .. } = &mut one.answer {
        settle(watch);
    }
    settle(&mut one.watch);
    if let Keep::Kept { age, .. } | Keep::Read { age, .. } = one.keep {
        if is_too_old(scope, age) {
            one.keep = Keep::None;
        }
    }
    if matches!(one.answer, Answer::Granted { age, .. } if is_too_old(scope, age)) {
        one.answer = Answer::None;
    }
    if matches!(one.phase, Phase::Rest | Phase::Join) {
        *one =
            Contender { phase: one.phase, answer: one.answer, ..Contender::at_rest(one.machine) };
    }
}

fn settle(watch: &mut Watch) {
    if watch.is_told || watch.silent > 0 {
        (watch.keys, watch.skips) = ([0; 2], 0);
    }
}

impl World {
    /// Returns `true` if the stray request has no effect whenever it arrives.
    fn is_stray_vain(&self) -> bool {
        match self.stray {
            Stray::None => true,
            Stray::Put { lease, .. } | Stray::KeepAlive { lease } => !self.server.lives(lease),
            Stray::Release { lease, name, token } => {
                !self.server.lives(lease)
                    && self.server.key_named(name).is_none_or(|key| key.revision != token)
            }
        }
    }

    /// Forgets a write that the store is going to refuse by right.
    fn forget_writes(&mut self) {
        let store = self.store;
        for write in &mut self.writes {
            if write.0 < store.greatest && write.1 <= store.last {
                *write = (0, 0);
            }
        }
        self.writes.sort_unstable();
    }

    /// Applies `change` to each place of a token that was given out.
    fn each_token(&mut self, mut change: impl FnMut(&mut u8)) {
        change(&mut self.greatest);
        change(&mut self.store.greatest);
        self.writes.iter_mut().for_each(|(token, _)| change(token));
    }

    /// Applies `change` to each place of a lease's number, but those of the server's leases.
    fn each_lease(&mut self, scope: &Scope, mut change: impl FnMut(&mut u8)) {
        for one in &mut self.contenders {
            change(&mut one.lease);
            if let Answer::Granted { lease, .. } = &mut one.answer {
                change(lease);
            }
            if let Answer::Read { watch, .. } = &mut one.answer {
                watch.keys.iter_mut().for_each(&mut change);
            }
            one.watch.keys.iter_mut().for_each(&mut change);
        }
        for Key { name, lease, .. } in &mut self.server.keys {
            change(name);
            change(lease);
        }
        if scope.has(Flaw::TokenFromLease) {
            self.each_token(&mut change);
        }
        match &mut self.stray {
            Stray::None => {}
            Stray::KeepAlive { lease } => change(lease),
            Stray::Put { lease, name, .. } | Stray::Release { lease, name, .. } => {
                change(lease);
                change(name);
            }
        }
    }

    fn number_leases(&mut self, scope: &Scope) {
        let is_lease = |number: u8| (1..=LEASES).contains(&usize::from(number));
        let mut is_named = [false; LEASES];
        self.each_lease(scope, |&mut number| {
            if is_lease(number) {
                is_named[usize::from(number) - 1] = true;
            }
        });
        let mut numbers = [ENDED; LEASES];
        let mut leases = [ENDED; LEASES];
        let mut count = 0;
        for (index, _) in is_named.iter().enumerate().filter(|(_, is_named)| **is_named) {
            let number = u8::try_from(index + 1).expect("one of a few");
            let is_gone = !self.server.lives(number) && self.server.key_named(number).is_none();
            if is_gone && !scope.has(Flaw::TokenFromLease) {
                continue; // all that are gone for good have the number `ENDED`
            }
            leases[count] = self.server.leases[index];
            count += 1;
            numbers[index] = u8::try_from(count).expect("one of a few");
        }
        self.each_lease(scope, |number| {
            if is_lease(*number) {
                *number = numbers[usize::from(*number) - 1];
            }
        });
        self.server.leases = leases;
        self.server.granted = u8::try_from(count).expect("one of a few");
    }

    /// Applies `change` to each place of a revision.
    fn each_revision(&mut self, scope: &Scope, mut change: impl FnMut(&mut u8)) {
        for one in &mut self.contenders {
            change(&mut one.token);
            if let Answer::Read { token, .. } = &mut one.answer {
                change(token);
            }
            if let Keep::Read { own, .. } | Keep::ReadFirst { own, .. } = &mut one.keep {
                change(own);
            }
        }
        for index in 0..KEYS {
            change(&mut self.server.keys[index].revision);
        }
        if let Stray::Release { token, .. } = &mut self.stray {
            change(token);
        }
        if !scope.has(Flaw::TokenFromLease) {
            self.each_token(change);
        }
    }

    fn number_revisions(&mut self, scope: &Scope) {
        let mut is_used = 0_u128;
        let greatest = std::mem::take(&mut self.greatest);
        self.each_revision(scope, |&mut revision| is_used |= 1 << revision);
        is_used &= !1;
        // The greatest token of the past, if it is smaller than every other, is as good as none.
        let is_up_to = (2_u128 << greatest) - 1;
        if scope.has(Flaw::TokenFromLease) {
            self.greatest = greatest;
        } else if is_used & is_up_to != 0 {
            self.greatest = greatest;
            is_used |= 1 << greatest;
        }
        self.each_revision(scope, |revision| {
            let until = (2_u128 << *revision) - 1;
            *revision = u8::try_from((is_used & until).count_ones()).expect("one of a few");
        });
        self.server.revision = u8::try_from(is_used.count_ones()).expect("one of a few");
    }

    fn number_acquisitions(&mut self) {
        let mut is_used = 0_u128;
        let each = |world: &mut Self, change: &mut dyn FnMut(&mut u8)| {
            world.contenders.iter_mut().for_each(|one| change(&mut one.acquisition));
            change(&mut world.store.last);
            world.writes.iter_mut().for_each(|(_, acquisition)| change(acquisition));
        };
        each(self, &mut |&mut number| is_used |= 1 << number);
        is_used &= !1;
        each(self, &mut |number| {
            let until = (2_u128 << *number) - 1;
            *number = u8::try_from((is_used & until).count_ones()).expect("one of a few");
        });
        self.acquisitions = u8::try_from(is_used.count_ones()).expect("one of a few");
    }
}
