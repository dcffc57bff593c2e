//! Searches every state that can be reached, the nearest first.

use shmlock_model::Seen;

use super::scope::{Breach, Scope};
use super::world::World;
use super::{canonical, moves, progress};

/// How many rounds, of one tick each, all contenders together need after the faults have ended: two
/// TTL. A silent watch ends after one, and the lease of a dead contender too.
fn longest(scope: &Scope) -> u8 {
    2 * scope.ttl
}

/// The result of a search without a breach.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) states: usize,
    pub(super) moves: usize,
    /// The most rounds that any state needs until all contenders have had the lock.
    pub(super) rounds: u8,
}

/// The result of a search with one: the promise, and the states on a shortest way to it.
pub(super) type Broken = (Breach, Vec<World>);

/// Searches everything in the scope.
pub(super) fn search(scope: &Scope) -> Result<Report, Broken> {
    let mut seen = Seen::from(canonical::of(World::new(scope), scope));
    let (mut number, mut count) = (0, 0);
    let mut found = Vec::new();
    while (number as usize) < seen.len() {
        let world = *seen.world(number);
        if let Err(breach) = moves::all(&world, scope, &mut found) {
            return Err((breach, seen.way_to(number)));
        }
        count += found.len();
        for next in found.drain(..) {
            seen.insert(canonical::of(next, scope), number);
        }
        number += 1;
    }
    let rounds = if scope.progress { most_rounds(&seen, scope)? } else { 0 };
    Ok(Report { states: seen.len(), moves: count, rounds })
}

/// Follows each state to the end of the contenders' work.
fn most_rounds(seen: &Seen<World>, scope: &Scope) -> Result<u8, Broken> {
    const UNKNOWN: u8 = u8::MAX;
    let mut rounds = vec![UNKNOWN; seen.len()];
    let mut way = Vec::new();
    let mut most = 0;
    for start in 0..u32::try_from(seen.len()).expect("fewer than 2^32 states") {
        let broken = |breach| (breach, seen.way_to(start));
        let mut world = *seen.world(start);
        let mut number = Some(start);
        let mut needed = loop {
            let known = number.map_or(UNKNOWN, |number| rounds[number as usize]);
            if known != UNKNOWN {
                break known;
            }
            let Some(next) = progress::round(&world, scope).map_err(broken)? else { break 0 };
            way.push(number);
            if way.len() > usize::from(longest(scope)) {
                return Err(broken(Breach::Stuck));
            }
            world = next;
            number = seen.find(&world);
        };
        for number in way.drain(..).rev() {
            needed += 1;
            if let Some(number) = number {
                rounds[number as usize] = needed;
            }
        }
        most = most.max(needed);
        if needed > longest(scope) {
            return Err(broken(Breach::Stuck));
        }
    }
    Ok(most)
}
