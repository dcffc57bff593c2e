//! Checks progress: once the faults have ended, each contender that is under way gets the lock.
//!
//! From each state there is one continuation. In it requests are answered at once, working watches
//! report events, leases end in time, no new process comes, and each holder releases at once. A
//! round lasts one tick.

use super::canonical;
use super::scope::{Breach, Scope};
use super::server::{Answer, LEASES};
use super::steps::Withdrawal;
use super::world::{CONTENDERS, Keep, Phase, World};

/// How many steps the main threads have within a tick. Only a flawed model needs more.
const STEPS: usize = 40;

/// Returns the state after a round, or `None` if no contender is under way.
pub(super) fn round(world: &World, scope: &Scope) -> Result<Option<World>, Breach> {
    if world.contenders.iter().all(|one| one.phase == Phase::Rest) {
        return Ok(None);
    }
    let mut world = *world;
    for index in 0..CONTENDERS {
        renew(&mut world, index, scope)?;
    }
    for _ in 0..STEPS {
        let mut goes_on = false;
        for index in 0..CONTENDERS {
            goes_on |= step(&mut world, index, scope)?;
            world.check(scope)?;
        }
        world = canonical::of(world, scope);
        if !goes_on {
            break;
        }
    }
    for lease in 1..=LEASES {
        if world.server.leases[lease - 1] == 0 {
            world.end(u8::try_from(lease).expect("one of a few"))?;
        }
    }
    world.tick([scope.rates[0]; CONTENDERS], scope);
    Ok(Some(canonical::of(world, scope)))
}

/// Runs the next step of a contender's main thread. Returns `false` if the thread waits.
fn step(world: &mut World, index: usize, scope: &Scope) -> Result<bool, Breach> {
    let one = world.contenders[index];
    match (one.phase, one.answer) {
        (Phase::Rest, _) => return Ok(false),
        (Phase::Join, Answer::Granted { .. }) => world.receive_lease(index, false, scope),
        (Phase::Join, _) if !world.server.has_room(scope) => return Ok(false),
        (Phase::Join, _) => world.grant(index, 0, scope.ttl),
        (Phase::HasLease | Phase::Queued, _) if one.is_lost() => {
            world.leave(index, Phase::Join, Withdrawal::Whole)?;
        }
        (_, Answer::Read { .. }) => world.receive_place(index, scope)?,
        (Phase::HasLease, _) => world.put(index, scope),
        (Phase::Queued, _) if one.watch.silent > 0 || !one.watch.is_told => return Ok(false),
        (Phase::Queued, _) => world.look(index, scope),
        (Phase::Critical, _) => world.leave(index, Phase::Rest, Withdrawal::Whole)?,
    }
    Ok(true)
}

/// A keeper ends the renewal that is under way, and renews once.
fn renew(world: &mut World, index: usize, scope: &Scope) -> Result<(), Breach> {
    for _ in 0..2 {
        let one = world.contenders[index];
        if one.phase < Phase::Queued || one.is_lost() || !scope.renewals {
            return Ok(());
        }
        if one.keep == Keep::None {
            world.keep_alive(index, 0, false, scope.ttl);
        }
        if matches!(world.contenders[index].keep, Keep::Kept { .. }) {
            world.read_own(index);
        }
        world.receive_renewal(index, scope)?;
    }
    Ok(())
}
