//! Checks progress: once the faults have ended, each living contender gets and releases the lock.

use std::collections::HashSet;

use super::world::{Breach, CONTENDERS, Phase, World};
use super::{fingerprint, moves};

/// No run from any state needs as many rounds: a round lasts one tick.
const ROUNDS: usize = 40;

/// How many answers a contender has within a tick: messages are faster than leases end.
const STEPS: usize = 4;

/// Goes on from a state without faults. `finished` has states from which the end was reached.
pub(super) fn check(world: &World, finished: &mut HashSet<u64>) -> Result<(), Breach> {
    let mut world = world.clone();
    let mut visited = Vec::new();
    for _ in 0..ROUNDS {
        let is_over = |phase| matches!(phase, Phase::Done | Phase::Dead);
        if world.contenders.iter().all(|one| is_over(one.phase))
            || finished.contains(&fingerprint(&world))
        {
            finished.extend(visited);
            return Ok(());
        }
        visited.push(fingerprint(&world));
        for turn in 0..CONTENDERS * STEPS {
            world = step(world, turn % CONTENDERS, turn / CONTENDERS)?;
        }
        let due = world.server.leases.iter().filter(|lease| lease.expires <= world.server.now);
        for number in due.map(|lease| lease.number).collect::<Vec<_>>() {
            world.server.end(number);
        }
        world = moves::tick(&world, 0).ok_or(Breach::Stuck)?;
    }
    Err(Breach::Stuck)
}

/// One contender does what it does next, and has its answer at once. A waiter looks at the queue
/// and renews its lease in turn.
fn step(world: World, who: usize, turn: usize) -> Result<World, Breach> {
    let world = match world.contenders[who].phase {
        // A holder that has seen its loss stops, which ends its stay.
        Phase::Critical { .. } if world.is_lost(who) => {
            let mut world = world;
            world.contenders[who].phase = Phase::Done;
            return Ok(world);
        }
        _ => moves::notice(&world, who).unwrap_or(world),
    };
    let requests = moves::requests(&world, who);
    let request = match world.contenders[who].phase {
        // A renewal takes two turns.
        Phase::Queued { .. } if turn % 3 == 0 => requests.last().copied(),
        _ => requests.first().copied(),
    };
    let world = match request {
        Some(request) => moves::send(&world, who, request, None),
        None => world,
    };
    let world = moves::deliver(&world, who).unwrap_or(world);
    Ok(moves::receive(&world, who)?.unwrap_or(world))
}
