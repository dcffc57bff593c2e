//! Takes the steps of one contender.

use super::flaw::Flaw;
use super::scope::{Breach, Scope};
use super::server::{Answer, ENDED, KEYS, Seat, Watch};
use super::world::{Contender, Keep, Phase, World, deadline};
use crate::lease_state::LeaseState;
use crate::protocol::{Next, Renewal, Verdict, from_own, judge, next, own_revision};

/// What becomes of the withdrawal of a contender that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Withdrawal {
    /// Key and lease are gone.
    Whole,
    /// The key is gone, the lease is not: the second request was lost, or the first one's answer.
    KeyOnly,
    /// It was lost, or the contender has died.
    Lost,
}

impl World {
    pub(super) fn name_of(&self, index: usize) -> u8 {
        let one = &self.contenders[index];
        if one.machine != 0 { one.machine } else { one.lease }
    }

    /// A request for a lease arrives; it was sent `age` units ago.
    pub(super) fn grant(&mut self, index: usize, age: u16, ttl: u8) {
        let lease = self.server.grant(ttl);
        self.contenders[index].answer = Answer::Granted { lease, age };
    }

    /// The contender learns its lease.
    pub(super) fn receive_lease(&mut self, index: usize, tries: bool, scope: &Scope) {
        let one = &mut self.contenders[index];
        let Answer::Granted { lease, age } = one.answer else { return };
        *one =
            Contender { phase: Phase::HasLease, tries, lease, ..Contender::at_rest(one.machine) };
        let until = deadline(scope, age);
        one.with_state(|state, _| *state = LeaseState::new(until));
    }

    /// A put arrives, with the reading in the same transaction: of two keys if it puts the own one,
    /// and of all if that is there already.
    pub(super) fn put(&mut self, index: usize, scope: &Scope) {
        let (one, name) = (self.contenders[index], self.name_of(index));
        let count = if self.server.key_named(name).is_some() { KEYS } else { 2 };
        if !self.server.put(one.lease, name, one.tries, scope) {
            self.contenders[index] = Contender {
                phase: Phase::Join, // and revokes the lease, which has ended
                ..Contender::at_rest(one.machine)
            };
            return;
        }
        let reading = self.server.newest_first(count, |_| true);
        self.contenders[index].answer = match from_own(&name, reading) {
            Some((token, newest_first)) => {
                let token = u8::try_from(token).expect("a revision of the model");
                self.server.answer(token, name, &newest_first, scope)
            }
            // It tries once, and there are others.
            None => Answer::Read { token: 0, seat: Seat::Gone, stands: false, watch: Watch::NONE },
        };
    }

    /// A reading of the queue arrives.
    pub(super) fn look(&mut self, index: usize, scope: &Scope) {
        let (token, name) = (self.contenders[index].token, self.name_of(index));
        let newest_first = self.server.newest_first(2, |key| key.revision <= token);
        let one = &mut self.contenders[index];
        one.watch = Watch::NONE;
        one.answer = self.server.answer(token, name, &newest_first, scope);
    }

    /// The contender sees its place in the queue.
    pub(super) fn receive_place(&mut self, index: usize, scope: &Scope) -> Result<(), Breach> {
        let one = &mut self.contenders[index];
        let Answer::Read { token, seat, stands, watch } = one.answer else { return Ok(()) };
        (one.answer, one.token, one.watch) = (Answer::None, token, Watch::NONE);
        let loss = one.loss().filter(|_| !scope.has(Flaw::NoCheckAtFirst));
        match next(seat, loss) {
            Next::Leave(_) => return self.leave(index, Phase::Join, Withdrawal::Whole),
            Next::Hold if !stands => return Err(Breach::AcquiredWithoutKey),
            Next::Hold => self.enter(index, scope)?,
            Next::Watch(()) => {
                one.phase = Phase::Queued;
                one.watch = watch;
                if scope.has(Flaw::WatchFromNow) {
                    one.watch.is_told = false;
                }
            }
        }
        Ok(())
    }

    /// The contender acquires the lock.
    pub(super) fn enter(&mut self, index: usize, scope: &Scope) -> Result<(), Breach> {
        self.acquisitions += 1;
        let one = &mut self.contenders[index];
        (one.phase, one.watch, one.acquisition) = (Phase::Critical, Watch::NONE, self.acquisitions);
        if one.is_lost() {
            return Err(Breach::AcquiredLost);
        }
        let token = fencing_token(one, scope);
        // A contender whose key was deleted by hand may not know it yet: its next renewal tells it.
        // Its token is old by right, and the store refuses it.
        if token <= self.greatest && !scope.writes && !one.is_evicted {
            return Err(Breach::TokenNotRisen);
        }
        self.greatest = self.greatest.max(token);
        if !scope.writes {
            one.acquisition = 0;
        }
        Ok(())
    }

    /// The contender ends its stay.
    ///
    /// A release under way is a holder that goes on a little longer. A death is a withdrawal that
    /// is lost: the local lock is free then, and another process of the machine may come.
    pub(super) fn leave(
        &mut self,
        index: usize,
        then: Phase,
        withdrawal: Withdrawal,
    ) -> Result<(), Breach> {
        let (one, name) = (self.contenders[index], self.name_of(index));
        self.contenders[index] = Contender { phase: then, ..Contender::at_rest(one.machine) };
        match withdrawal {
            Withdrawal::Whole => self.release(one.lease, name, one.token),
            Withdrawal::KeyOnly => self.delete_own(name, one.token),
            Withdrawal::Lost => Ok(()),
        }
    }

    /// A keep-alive arrives at the leader, or at a former one, which answers out of its memory.
    pub(super) fn keep_alive(&mut self, index: usize, age: u16, is_former: bool, ttl: u8) {
        let lease = self.contenders[index].lease;
        let is_alive = is_former || self.server.keep_alive(lease, ttl);
        self.contenders[index].keep = match self.contenders[index].keep {
            // The terms are equal if both answers came before the election, or both after it.
            Keep::ReadFirst { own, stands, is_stale } => {
                Keep::Read { age, is_alive, is_stale: is_stale != is_former, own, stands }
            }
            _ => Keep::Kept { age, is_alive, is_stale: is_former },
        };
    }

    /// The reading after a keep-alive arrives.
    pub(super) fn read_own(&mut self, index: usize) {
        let (one, name) = (&self.contenders[index], self.name_of(index));
        // The product asks for no key that is younger than the own one. A younger key of the own
        // name is told here all the same: the judgement has to refuse it without that help.
        let reading =
            self.server.newest_first(2, |key| key.revision <= one.token || key.name == name);
        let own = u8::try_from(own_revision(&name, &reading).unwrap_or(0));
        let own = own.expect("a revision of the model");
        let stands = self.server.key_created_at(one.token).is_some();
        self.contenders[index].keep = match one.keep {
            Keep::Kept { age, is_alive, is_stale } => {
                Keep::Read { age, is_alive, is_stale, own, stands }
            }
            _ => Keep::ReadFirst { own, stands, is_stale: false },
        };
    }

    /// The keeper judges a renewal, and acts on it.
    pub(super) fn receive_renewal(&mut self, index: usize, scope: &Scope) -> Result<(), Breach> {
        let one = &mut self.contenders[index];
        let Keep::Read { age, is_alive, is_stale, own, stands } = one.keep else { return Ok(()) };
        one.keep = Keep::None;
        let own = if own != 0 && scope.has(Flaw::NoRevisionCheck) { one.token } else { own };
        let read_in = if is_stale && !scope.has(Flaw::NoTermCheck) { 2 } else { 1 };
        let verdict = judge(
            i64::from(one.token),
            Renewal {
                ttl: i64::from(is_alive) * i64::from(scope.ttl),
                renewed_in: 1,
                own_revision: (own != 0).then_some(i64::from(own)),
                read_in,
            },
        );
        let was_lost = one.is_lost();
        let until = deadline(scope, age);
        one.with_state(|state, now| match verdict {
            Verdict::Renewed if scope.has(Flaw::LossUndone) => {
                *state = LeaseState::new(until);
            }
            verdict => state.renew(now, verdict, until),
        });
        if verdict == Verdict::Renewed && !stands {
            return Err(Breach::RenewedWithoutKey);
        }
        if was_lost && !one.is_lost() {
            return Err(Breach::LossUndone);
        }
        if !(is_alive && stands || one.is_lost()) {
            return Err(Breach::HeldWithoutKey);
        }
        Ok(())
    }

    /// An administrator deletes a key.
    pub(super) fn evict(&mut self, revision: u8) -> Result<(), Breach> {
        for one in &mut self.contenders {
            let unseen = matches!(one.answer, Answer::Read { token, .. } if token == revision);
            if one.phase >= Phase::HasLease && (one.token == revision || unseen) {
                one.is_evicted = true;
            }
        }
        self.delete(revision)
    }

    /// A server ends a lease before its time: for its key that is a deletion by hand.
    pub(super) fn end_early(&mut self, lease: u8) -> Result<(), Breach> {
        if let Some(key) = self.server.keys().iter().find(|key| key.lease == lease) {
            self.evict(key.revision)?;
        }
        self.end(lease)
    }

    /// The servers are restored from a state in which the newest key had not been put.
    pub(super) fn restore(&mut self) -> Result<(), Breach> {
        let Some(newest) = self.server.keys().last().copied() else { return Ok(()) };
        self.server.revision = newest.revision - 1;
        self.delete(newest.revision)
    }

    /// Time passes: the contenders' clocks count `units` each.
    pub(super) fn tick(&mut self, units: [u16; 3], scope: &Scope) {
        for index in 0..usize::from(self.server.granted) {
            let left = &mut self.server.leases[index];
            if *left != ENDED {
                *left = left.saturating_sub(1);
            }
        }
        let longest = u16::try_from(scope.ttl().as_nanos()).expect("a short time");
        let signed = |units: u16| i16::try_from(units).expect("a short time");
        for (one, units) in self.contenders.iter_mut().zip(units) {
            let older = |age: &mut u16| *age = (*age + units).min(longest);
            if !scope.has(Flaw::NoOwnDeadline) {
                one.left = (one.left - signed(units)).max(-signed(longest));
            }
            if let Answer::Granted { age, .. } = &mut one.answer {
                older(age);
            }
            if let Keep::Kept { age, .. } | Keep::Read { age, .. } = &mut one.keep {
                older(age);
            }
            if one.watch.silent > 0 {
                one.watch.silent -= 1;
                one.watch.is_told = one.watch.silent == 0;
            }
        }
    }
}

/// Returns the fencing token of a holder.
pub(super) fn fencing_token(one: &Contender, scope: &Scope) -> u8 {
    if scope.has(Flaw::TokenFromLease) { one.lease } else { one.token }
}

/// Where the tokens grow with each state, a search ends before they leave the numbers' range.
pub(super) fn is_within_range(world: &World) -> bool {
    usize::from(world.server.revision) < 8 * KEYS
}
