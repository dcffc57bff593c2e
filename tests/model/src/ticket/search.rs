//! Searches breadth first, so that the first breach found has a shortest trace; then backwards, for
//! worlds from which the parties cannot all come to rest.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::breach::Breach;
use super::flaw::Flaw;
use super::judge::{is_at_rest, judge};
use super::step::{Move, What, moves};
use super::world::{Bounds, Place, Rules, World};
use crate::seen::Seen;

/// The result of a search.
#[derive(Debug)]
pub struct Report {
    /// The number of worlds.
    pub states: usize,
    /// The number of moves.
    pub transitions: u64,
    /// The time it took.
    pub time: Duration,
    /// How many different steps the parties took.
    pub steps: usize,
    /// The first property that failed, and a trace to it; `None` if all hold.
    pub broken: Option<(Breach, String)>,
}

impl Report {
    /// Returns the property that failed.
    #[must_use]
    pub fn breach(&self) -> Option<Breach> {
        self.broken.as_ref().map(|(breach, _)| *breach)
    }
}

/// Searches everything within the bounds.
#[must_use]
pub fn search(bounds: Bounds, flaw: Option<Flaw>) -> Report {
    let start = Instant::now();
    let rules = Rules { bounds, flaw };
    let mut search = Search {
        rules,
        seen: Seen::from(rules.start()),
        transitions: 0,
        targets: Vec::new(),
        starts: Vec::new(),
        steps: HashSet::new(),
    };
    let broken = search.forward().or_else(|| search.backward());
    Report {
        states: search.seen.len(),
        transitions: search.transitions,
        time: start.elapsed(),
        steps: search.steps.len(),
        broken: broken.map(|(breach, number, last)| (breach, search.trace(number, last))),
    }
}

/// The breach, the world at which it was found, and the world after the move that made it.
type Broken = (Breach, u32, Option<World>);

struct Search {
    rules: Rules,
    seen: Seen<World>,
    transitions: u64,
    /// The targets of the moves that are not optional, world by world.
    targets: Vec<u32>,
    /// The index in `targets` at which those of a world begin.
    starts: Vec<usize>,
    steps: HashSet<Place>,
}

impl Search {
    /// Finds every world, and checks each.
    fn forward(&mut self) -> Option<Broken> {
        let mut next = Vec::new();
        let mut number = 0;
        while (number as usize) < self.seen.len() {
            let world = *self.seen.world(number);
            if let Some(breach) = judge(&self.rules, &world) {
                return Some((breach, number, None));
            }
            self.starts.push(self.targets.len());
            moves(&self.rules, &world, &mut next);
            self.transitions += next.len() as u64;
            for Move { world, breach, what } in next.drain(..) {
                if let Some(breach) = breach {
                    // The graver of two, if there are two.
                    let breach = judge(&self.rules, &world).unwrap_or(breach);
                    return Some((breach, number, Some(world)));
                }
                if let What::Step(_, place) = what {
                    self.steps.insert(place);
                }
                let target = self.seen.insert(world, number);
                if !what.is_optional() {
                    self.targets.push(target);
                }
            }
            number += 1;
        }
        None
    }

    /// Finds the first world from which the parties cannot all come to rest, though none must come
    /// and none dies.
    fn backward(&mut self) -> Option<Broken> {
        let mut can_rest = vec![false; self.seen.len()];
        let mut open: Vec<u32> = (0..u32::try_from(self.seen.len()).ok()?).rev().collect();
        loop {
            let before = open.len();
            open.retain(|&number| {
                let rests = is_at_rest(&self.rules, self.seen.world(number))
                    || self.after(number).iter().any(|&next| can_rest[next as usize]);
                can_rest[number as usize] = rests;
                !rests
            });
            if open.len() == before {
                break;
            }
        }
        open.last().map(|&number| (Breach::Stuck, number, None))
    }

    fn after(&self, number: u32) -> &[u32] {
        let number = number as usize;
        let end = self.starts.get(number + 1).copied().unwrap_or(self.targets.len());
        &self.targets[self.starts[number]..end]
    }

    /// Tells a shortest way from the start to a world.
    fn trace(&self, number: u32, last: Option<World>) -> String {
        let way = self.seen.way_to(number);
        let mut told = String::new();
        let mut next = Vec::new();
        let after = way[1..].iter().copied().chain(last);
        for (line, (before, after)) in way.iter().zip(after).enumerate() {
            next.clear();
            moves(&self.rules, before, &mut next);
            let taken = next.iter().find(|next| next.world == after);
            let what = taken.map(|taken| taken.what);
            let _ = write!(told, "{:3}  {:<32}", line + 1, what.map_or_else(String::new, describe));
            for (number, party) in (1..).zip(&after.parties[..self.rules.bounds.parties]) {
                let choosing = if party.choosing { "c" } else { "-" };
                let inside = if party.section().is_inside() { "I" } else { "-" };
                let (deaths, life) = (party.section().deaths(), party.life);
                let _ = write!(
                    told,
                    " | {number}: {choosing} {} {inside}{deaths} life {life} buried {}",
                    party.number, party.buried
                );
            }
            let _ = writeln!(told, " | declared {}", after.declared);
        }
        told
    }
}

fn describe(what: What) -> String {
    match what {
        What::Step(who, place) => format!("P{who} {place:?}"),
        What::Comes(who) => format!("P{who} comes"),
        What::Dies(who) => format!("P{who} DIES"),
        What::Supervises(who) => format!("the supervisor, P{who}"),
    }
}
