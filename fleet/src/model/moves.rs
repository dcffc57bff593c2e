//! Lists the moves of the model: what may happen next.
//!
//! # What is one move
//!
//! The moves are chosen so that few of them lead to all outcomes.
//!
//! * **A request is sent when it arrives.** The sender alone knows when it was sent. It uses that
//!   for the deadline only, where an earlier instant makes the lease end earlier by its own clock.
//!   Then it withdraws, which it may do in any state. `slow_requests` searches the earlier instants
//!   all the same. A request that arrives after its sender has given up is a stray one.
//! * **A lost request** leaves everything as it was. **A lost answer** is one that its receiver has
//!   not seen yet, and need not see: it may ask again, or withdraw, before it does. So losses need
//!   no move, and happen any number of times.
//! * **A contender that is stopped** makes no moves. So stops need none either.
//! * **A faster clock** ends a lease earlier, which is no more than a withdrawal. `rates` may have
//!   several, of which a contender's clock counts any at each tick.
//! * **The tokens** of acquisitions rise strictly, or a promise is broken. Then the store accepts
//!   no write after one with a greater token, and refuses none of the latest acquisition, however
//!   late writes arrive. So writes are searched in one scope only.

use super::flaw::Flaw;
use super::scope::{Breach, Scope, TICK};
use super::server::Answer;
use super::steps::{Withdrawal, fencing_token, is_within_range};
use super::world::{CONTENDERS, Keep, Phase, Stray, WRITES, World};

/// The states that follow.
struct Next<'a> {
    world: &'a World,
    scope: &'a Scope,
    found: &'a mut Vec<World>,
}

/// Adds every state that may follow to `found`.
pub(super) fn all(world: &World, scope: &Scope, found: &mut Vec<World>) -> Result<(), Breach> {
    let mut next = Next { world, scope, found };
    for index in 0..scope.contenders {
        next.of_stay(index)?;
        next.of_keeper(index)?;
        next.of_write(index)?;
    }
    next.of_stray()?;
    next.of_servers()?;
    next.of_time()
}

impl Next<'_> {
    /// Adds the state after `act`.
    fn add(&mut self, act: impl FnOnce(&mut World) -> Result<(), Breach>) -> Result<(), Breach> {
        let mut world = *self.world;
        act(&mut world)?;
        world.check(self.scope)?;
        self.found.push(world);
        Ok(())
    }

    /// Adds what the main thread of a contender may do.
    fn of_stay(&mut self, index: usize) -> Result<(), Breach> {
        let (world, scope) = (*self.world, *self.scope);
        let one = world.contenders[index];
        match (one.phase, one.answer) {
            (Phase::Rest, _) => self.add(|next| {
                next.contenders[index].phase = Phase::Join;
                Ok(())
            })?,
            (Phase::Join, _) if world.server.has_room(&scope) => {
                for age in self.ages() {
                    self.add(|next| {
                        next.grant(index, age, scope.ttl);
                        Ok(())
                    })?;
                }
            }
            (Phase::HasLease, _) if !one.is_lost() => self.put(index)?,
            (Phase::Queued, _) if !one.is_lost() => {
                self.add(|next| {
                    next.look(index, &scope);
                    Ok(())
                })?;
                let is_watching = one.answer == Answer::None && !one.watch.is_told;
                if scope.silence && is_watching && one.watch.silent == 0 {
                    self.add(|next| {
                        next.contenders[index].watch.silent = scope.ttl;
                        Ok(())
                    })?;
                }
                if scope.has(Flaw::NoReadingAfterWake) && one.watch.is_told {
                    self.add(|next| next.enter(index, &scope))?;
                }
            }
            _ => {}
        }
        match one.answer {
            Answer::None => {}
            Answer::Granted { .. } => {
                for tries in [false, true] {
                    if !tries || scope.tries {
                        self.add(|next| {
                            next.receive_lease(index, tries, &scope);
                            Ok(())
                        })?;
                    }
                }
            }
            Answer::Read { .. } => self.add(|next| next.receive_place(index, &scope))?,
        }
        if one.phase >= Phase::HasLease {
            self.leave(index)?;
        }
        Ok(())
    }

    fn put(&mut self, index: usize) -> Result<(), Breach> {
        let (world, scope) = (*self.world, *self.scope);
        let (one, name) = (world.contenders[index], world.name_of(index));
        if !world.server.has_room(&scope) {
            return Ok(());
        }
        let put = |next: &mut World| {
            next.put(index, &scope);
            Ok(())
        };
        self.add(put)?;
        if scope.strays && world.stray == Stray::None {
            self.add(|next| {
                next.stray = Stray::Put { lease: one.lease, name, tries: one.tries };
                put(next)
            })?;
        }
        Ok(())
    }

    fn leave(&mut self, index: usize) -> Result<(), Breach> {
        let (world, scope) = (*self.world, *self.scope);
        let (one, name) = (world.contenders[index], world.name_of(index));
        self.add(|next| next.leave(index, Phase::Rest, Withdrawal::Whole))?;
        if scope.deaths {
            self.add(|next| next.leave(index, Phase::Rest, Withdrawal::KeyOnly))?;
            self.add(|next| next.leave(index, Phase::Rest, Withdrawal::Lost))?;
        }
        if scope.strays && world.stray == Stray::None {
            self.add(|next| {
                next.stray = Stray::Release { lease: one.lease, name, token: one.token };
                next.leave(index, Phase::Rest, Withdrawal::Lost)
            })?;
        }
        Ok(())
    }

    /// Adds what the keeper of a contender may do. It begins when the key is put.
    fn of_keeper(&mut self, index: usize) -> Result<(), Breach> {
        let (world, scope) = (*self.world, *self.scope);
        let one = world.contenders[index];
        if !scope.renewals || one.phase < Phase::Queued || one.is_lost() {
            return Ok(());
        }
        let read = |next: &mut World| {
            next.read_own(index);
            Ok(())
        };
        if scope.has(Flaw::ReadingFirst) && !matches!(one.keep, Keep::ReadFirst { .. }) {
            self.add(read)?;
        } else {
            for age in self.ages() {
                self.keep_alive(index, age)?;
            }
        }
        match one.keep {
            Keep::Kept { .. } => self.add(read),
            Keep::Read { .. } => self.add(|next| next.receive_renewal(index, &scope)),
            Keep::None | Keep::ReadFirst { .. } => Ok(()),
        }
    }

    fn keep_alive(&mut self, index: usize, age: u16) -> Result<(), Breach> {
        let (world, scope) = (*self.world, *self.scope);
        let lease = world.contenders[index].lease;
        let keep = |next: &mut World, is_former| {
            next.keep_alive(index, age, is_former, scope.ttl);
            Ok(())
        };
        self.add(|next| keep(next, false))?;
        if scope.strays && world.stray == Stray::None {
            self.add(|next| {
                next.stray = Stray::KeepAlive { lease };
                keep(next, false)
            })?;
        }
        if scope.elections {
            self.add(|next| keep(next, true))?;
        }
        Ok(())
    }

    /// Adds the sending of a write by a holder that believes in its hold.
    fn of_write(&mut self, index: usize) -> Result<(), Breach> {
        let (world, scope) = (*self.world, *self.scope);
        let one = world.contenders[index];
        let free = (0..WRITES).find(|&slot| world.writes[slot] == (0, 0));
        let Some(slot) = free.filter(|_| scope.writes && one.believes()) else { return Ok(()) };
        self.add(|next| {
            next.writes[slot] = (fencing_token(&one, &scope), one.acquisition);
            Ok(())
        })
    }

    /// Adds the arrival of the stray request.
    fn of_stray(&mut self) -> Result<(), Breach> {
        let scope = *self.scope;
        let stray = self.world.stray;
        if stray == Stray::None {
            return Ok(());
        }
        self.add(|next| {
            next.stray = Stray::None;
            match stray {
                Stray::None => {}
                Stray::Put { lease, name, tries } => {
                    next.server.put(lease, name, tries, &scope);
                }
                Stray::KeepAlive { lease } => {
                    next.server.keep_alive(lease, scope.ttl);
                }
                Stray::Release { lease, name, token } => next.release(lease, name, token)?,
            }
            Ok(())
        })
    }

    /// Adds what servers, an administrator and the store may do.
    fn of_servers(&mut self) -> Result<(), Breach> {
        let (world, scope) = (*self.world, *self.scope);
        for lease in 1..=world.server.granted {
            let left = world.server.leases[usize::from(lease) - 1];
            if left == 0 {
                self.add(|next| next.end(lease))?;
            } else if scope.has(Flaw::EarlyEnd) && world.server.lives(lease) {
                self.add(|next| next.end_early(lease))?;
            }
        }
        if scope.elections {
            self.add(|next| {
                next.elect(scope.ttl);
                Ok(())
            })?;
        }
        // One deletion at a time: until the former owner has seen it, or its lease has ended.
        if scope.deletions && !world.contenders.iter().any(|one| one.is_evicted) {
            for key in world.server.keys() {
                self.add(|next| next.evict(key.revision))?;
            }
        }
        if scope.has(Flaw::Restored) && is_within_range(&world) {
            self.add(World::restore)?;
        }
        for slot in 0..WRITES {
            let (token, acquisition) = world.writes[slot];
            if token != 0 {
                self.add(|next| {
                    next.writes[slot] = (0, 0);
                    next.store.write(token, acquisition)
                })?;
            }
        }
        Ok(())
    }

    /// Adds a tick, with each combination of the clocks' rates.
    fn of_time(&mut self) -> Result<(), Breach> {
        let scope = *self.scope;
        let rates = scope.rates;
        let clocks = u32::try_from(scope.contenders).expect("a few");
        for mut choice in 0..rates.len().pow(clocks) {
            let mut units = [rates[0]; CONTENDERS];
            for unit in &mut units[..scope.contenders] {
                *unit = rates[choice % rates.len()];
                choice /= rates.len();
            }
            self.add(|next| {
                next.tick(units, &scope);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Returns how long ago a request may have been sent that arrives now.
    fn ages(&self) -> Vec<u16> {
        let ticks = if self.scope.slow_requests { u16::from(self.scope.ttl) } else { 1 };
        (0..ticks).map(|tick| tick * TICK / 2).collect()
    }
}
