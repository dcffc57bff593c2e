//! Searches breadth first, so that the first breach found has a shortest trace; then backwards, for
//! processes that cannot end.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::bounds::Bounds;
use crate::breach::Breach;
use crate::flaw::Flaws;
use crate::moves::{Move, Rules};
use crate::place::Place;
use crate::property::{self, Leftovers};
use crate::seen::Seen;
use crate::step::moves;
use crate::trace::Trace;
use crate::world::World;

/// The result of a search.
#[derive(Debug)]
pub struct Report {
    /// The number of worlds, not counting permutations of the processes.
    pub states: usize,
    /// The number of moves.
    pub transitions: u64,
    /// The time it took.
    pub time: Duration,
    /// The memory it took.
    pub bytes: usize,
    /// The steps of the protocol that no process took.
    pub unreached: Vec<&'static str>,
    /// The steps at which a process was stopped while others waited for it without end, as the
    /// design allows; sorted.
    pub waited_for: Vec<&'static str>,
    /// The first property that failed, and a trace to it; `None` if all hold.
    pub broken: Option<(Breach, Trace)>,
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
pub fn search(bounds: Bounds, flaws: Flaws) -> Report {
    let start = Instant::now();
    let mut search = Search {
        rules: Rules { bounds, flaws },
        seen: Seen::from(World::new(bounds.processes, bounds.visits).sorted()),
        leftovers: Leftovers::default(),
        transitions: 0,
        targets: Vec::new(),
        starts: Vec::new(),
        reached: BTreeSet::new(),
        waited_for: BTreeSet::new(),
    };
    let broken = search.forward().or_else(|| search.backward());
    let broken = broken.map(|(breach, number, last)| {
        (breach, Trace::new(search.rules, &search.seen.way_to(number), last.as_ref()))
    });
    Report {
        states: search.seen.len(),
        transitions: search.transitions,
        time: start.elapsed(),
        bytes: search.bytes(),
        unreached: Place::ALL
            .iter()
            .filter(|place| !search.reached.contains(place))
            .map(|place| place.does())
            .collect(),
        waited_for: search
            .waited_for
            .iter()
            .map(|place| place.does())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
        broken,
    }
}

/// The breach, the world at which it was found, and the world after the move that made it.
type Broken = (Breach, u32, Option<World>);

struct Search {
    rules: Rules,
    seen: Seen<World>,
    leftovers: Leftovers,
    transitions: u64,
    /// The targets of the moves that are no faults, world by world.
    targets: Vec<u32>,
    /// The index in `targets` at which those of a world begin.
    starts: Vec<usize>,
    reached: BTreeSet<Place>,
    waited_for: BTreeSet<Place>,
}

impl Search {
    /// Finds every world, and checks each.
    fn forward(&mut self) -> Option<Broken> {
        let mut next = Vec::new();
        let mut number = 0;
        while (number as usize) < self.seen.len() {
            let world = *self.seen.world(number);
            if let Some(breach) = self.judge(&world) {
                return Some((breach, number, None));
            }
            self.starts.push(self.targets.len());
            moves(&self.rules, &world, &mut next);
            self.transitions += next.len() as u64;
            for Move { world, breach, action, .. } in next.drain(..) {
                if let Some(breach) = breach {
                    // The graver of two, if there are two.
                    let breach = property::judge(&world).unwrap_or(breach);
                    return Some((breach, number, Some(world.sorted())));
                }
                let target = self.seen.insert(world.sorted(), number);
                if !action.is_fault() {
                    self.targets.push(target);
                }
            }
            let is_at_rest = self.targets.len() == self.starts[number as usize];
            if is_at_rest && !world.is_final() && !property::may_be_waited_for(&self.rules, &world)
            {
                return Some((Breach::Deadlock, number, None));
            }
            self.reached.extend(
                world
                    .processes
                    .iter()
                    .filter(|process| process.can_move())
                    .map(|process| process.at),
            );
            number += 1;
        }
        None
    }

    fn judge(&mut self, world: &World) -> Option<Breach> {
        let at_end = world.is_final().then(|| self.leftovers.judge(&self.rules, world)).flatten();
        property::judge(world).or(at_end)
    }

    /// Finds the first world from which not all processes can end without another fault.
    ///
    /// Most moves lead to a world that was found later, so a sweep from the last to the first
    /// settles many; later sweeps settle the moves that lead back.
    fn backward(&mut self) -> Option<Broken> {
        let mut can_end = vec![false; self.seen.len()];
        let mut open: Vec<u32> = (0..u32::try_from(self.seen.len()).ok()?).rev().collect();
        loop {
            let before = open.len();
            open.retain(|&number| {
                let ends = self.seen.world(number).is_final()
                    || self.after(number).any(|next| can_end[next as usize]);
                can_end[number as usize] = ends;
                !ends
            });
            if open.len() == before {
                break;
            }
        }
        for number in open.into_iter().rev() {
            let world = self.seen.world(number);
            if !property::may_be_waited_for(&self.rules, world) {
                return Some((Breach::Stuck, number, None));
            }
            self.waited_for.extend(world.frozen().map(|frozen| frozen.at));
        }
        None
    }

    fn after(&self, number: u32) -> impl Iterator<Item = u32> + '_ {
        let number = number as usize;
        let end = self.starts.get(number + 1).copied().unwrap_or(self.targets.len());
        self.targets[self.starts[number]..end].iter().copied()
    }

    fn bytes(&self) -> usize {
        self.seen.bytes()
            + self.targets.capacity() * size_of::<u32>()
            + self.starts.capacity() * size_of::<usize>()
            + self.seen.len() * (size_of::<u32>() + size_of::<bool>())
    }
}
