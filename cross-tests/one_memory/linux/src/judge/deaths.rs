//! Implements the run in which parties die at arbitrary instructions.

use std::hint;
use std::time::Instant;

use fastrand::Rng;
use shmlock_core::Word;
use shmlock_one_memory::locks::counters;
use shmlock_one_memory::{Audit, LockKind, Party};

use crate::arena::{Arena, PATIENCE};
use crate::options::Options;

/// The critical sections of each party after the last death.
const ENOUGH: u32 = 100;

/// How many parties have been ended.
#[derive(Debug, Default)]
struct Deaths {
    /// Each ends the first core of a machine.
    resets: u32,
    kills: u32,
}

/// Resets the machine and kills processes, at arbitrary moments, for a time. Each recovers the lock
/// from the others, no count may be lost, and none may be counted twice.
///
/// The run goes on until each kind of recovery has happened, however slow the machine is.
pub(crate) fn deaths(options: &Options) {
    let mut arena = Arena::new(options);
    arena.until_all_count(1);
    let mut random = Rng::with_seed(options.seed);
    let (mut deaths, begun) = (Deaths::default(), Instant::now());
    while begun.elapsed() < options.time || !has_seen_all(&arena) {
        assert!(begun.elapsed() < PATIENCE, "not all recoveries: {deaths:?} {arena:#?}");
        end_one(&mut arena, &mut random, &mut deaths);
    }
    arena.until_all_count(ENOUGH);
    arena.stop();
    judge(&arena, &deaths);
}

/// A party that ends.
enum Victim {
    /// The first core of a machine.
    Machine(usize),
    /// One of the processes of Linux.
    Process(usize),
    /// All of them.
    Linux,
}

/// Ends a party at an arbitrary moment: after some more of its critical sections, in one of them,
/// or at once, while it starts and recovers.
fn end_one(arena: &mut Arena, random: &mut Rng, deaths: &mut Deaths) {
    let (machines, processes) = (arena.machines.len(), arena.processes.len());
    let number = random.usize(0..=machines + processes);
    let victim = match number.checked_sub(machines) {
        None => Victim::Machine(number),
        Some(process) if process < processes => Victim::Process(process),
        Some(_) => Victim::Linux,
    };
    let party = if let Victim::Machine(at) = victim { arena.cores()[at] } else { Party::Linux };
    match random.u32(0..3) {
        0 => arena.until_counts(party, random.u32(1..100)),
        1 => arena.until("a party is inside", |arena| arena.memory.ledger.inside() == Some(party)),
        _ => {
            let scale = random.u32(0..20);
            for _ in 0..random.u32(0..1 << scale) {
                hint::spin_loop();
            }
        }
    }
    match victim {
        Victim::Machine(at) => {
            arena.machines[at].reset();
            deaths.resets += 1;
        }
        Victim::Process(at) => {
            arena.processes.kill(at);
            arena.processes.add(1);
            deaths.kills += 1;
        }
        Victim::Linux => {
            for _ in 0..processes {
                arena.processes.kill(0);
                deaths.kills += 1;
            }
            arena.prove_death_of_linux();
            // Without a process of Linux, the cores recover the lock themselves.
            arena.until_counts(Party::Core0, 1);
            arena.processes.add(processes);
        }
    }
}

/// Returns `true` once every kind of recovery has happened: of Linux by a core, of a core by Linux,
/// and of a critical section that was cut between its two counters.
fn has_seen_all(arena: &Arena) -> bool {
    let audit = arena.memory.ledger.audit();
    let is_seen = |of: fn(Party) -> (Party, Party)| {
        arena
            .cores()
            .iter()
            .map(|core| of(*core))
            .any(|(dead, by)| audit.recoveries_of(dead, by) > 0)
    };
    audit.completed > 0
        && is_seen(|core| (Party::Linux, core))
        && is_seen(|core| (core, Party::Linux))
}

fn judge(arena: &Arena, deaths: &Deaths) {
    let audit: Audit = arena.memory.ledger.audit();
    assert_eq!(audit.total, audit.sum(), "{deaths:?} {arena:#?}");
    assert_eq!((audit.violations, audit.errors), (0, 0), "{deaths:?} {arena:#?}");
    let roll = arena.memory.roll().expect("a roll");
    // The ticket lock needs no boots; the cores count theirs all the same.
    let has_boots =
        |party: &Party| arena.memory.orders.lock() == LockKind::Word || *party != Party::Linux;
    for party in arena.parties().into_iter().filter(has_boots) {
        // A party may die before it counts its boot.
        let ended = if party == Party::Linux { deaths.kills } else { deaths.resets };
        let boot = roll.last_boot(party.slot()).expect("a slot").expect("begun");
        assert!(boot.number() <= ended + 1, "{party:?}: {boot:?} {deaths:?}");
    }
    let ended = deaths.kills + deaths.resets;
    let counters = counters(arena.memory).expect("a lock").expect("of some kind");
    // Each death costs one acquisition at most: one that was not counted in the ledger.
    let uncounted = counters.acquisitions - u64::from(audit.total);
    assert!(uncounted <= u64::from(ended), "{uncounted} {deaths:?} {arena:#?}");
    assert!(counters.recoveries <= ended, "{deaths:?} {counters:?} {arena:#?}");
    assert_eq!(counters.owner, None, "{arena:#?}");
    if arena.memory.orders.lock() == LockKind::Word {
        // Each death was declared consistent, and no waiter sleeps here.
        assert_eq!(arena.memory.region().expect("a lock").word(), Word::FREE, "{arena:#?}");
    }
    println!(
        "    {} resets, {} kills: {} critical sections, exact; {} recoveries, {} cut sections",
        deaths.resets, deaths.kills, audit.total, counters.recoveries, audit.completed
    );
    for by in arena.parties() {
        println!(
            "    {by:?} recovered from none, Linux, cores: {:?}",
            audit.recoveries[by.index()]
        );
    }
}
