//! Implements the run in which parties die at arbitrary instructions.

use std::hint;
use std::time::Instant;

use fastrand::Rng;
use shmlock_one_memory::{Audit, Party};

use crate::arena::Arena;
use crate::options::Options;

/// The critical sections of each party after the last death.
const ENOUGH: u32 = 1_000;

/// How many parties have been ended.
#[derive(Debug, Default)]
struct Deaths {
    /// Each ends every core.
    resets: u32,
    kills: u32,
}

/// The machine is reset and processes are killed, at arbitrary moments, for a time. Each recovers
/// the lock from the others, no count may be lost, and none may be counted twice.
///
/// The run goes on until each kind of recovery has happened, however slow the machine is.
pub(crate) fn deaths(options: &Options) {
    let mut arena = Arena::new(options);
    arena.until_all_count(1);
    let mut random = Rng::with_seed(options.seed);
    let (mut deaths, begun) = (Deaths::default(), Instant::now());
    while begun.elapsed() < options.time || !has_seen_all(&arena) {
        assert!(begun.elapsed() < 4 * options.time, "not all recoveries: {deaths:?} {arena:#?}");
        end_one(&mut arena, &mut random, &mut deaths);
    }
    arena.until_all_count(ENOUGH);
    arena.stop();
    judge(&arena, options, &deaths);
}

/// Ends the machine or a process at an arbitrary moment: after some more of its critical sections,
/// or at once, while it starts and recovers.
fn end_one(arena: &mut Arena, random: &mut Rng, deaths: &mut Deaths) {
    let victim = random.usize(0..=arena.processes.len()).checked_sub(1);
    if random.bool() {
        let party = if victim.is_some() { Party::Linux } else { Party::Core0 };
        arena.until_counts(party, random.u32(1..100));
    }
    let scale = random.u32(0..20);
    for _ in 0..random.u32(0..1 << scale) {
        hint::spin_loop();
    }
    match victim {
        None => {
            arena.machine.reset();
            deaths.resets += 1;
        }
        Some(process) => {
            arena.processes.replace(process);
            deaths.kills += 1;
        }
    }
}

/// Returns `true` once every kind of recovery has happened: of Linux by a core, of each core by
/// Linux, and of a critical section that was cut between its two counters.
fn has_seen_all(arena: &Arena) -> bool {
    let audit = arena.memory.ledger.audit();
    let of_linux = |core: &&Party| audit.recoveries_of(Party::Linux, **core) > 0;
    let by_linux = |core: &Party| audit.recoveries_of(*core, Party::Linux) > 0;
    audit.completed > 0
        && arena.cores().iter().find(of_linux).is_some()
        && arena.cores().iter().all(by_linux)
}

fn judge(arena: &Arena, options: &Options, deaths: &Deaths) {
    let audit: Audit = arena.memory.ledger.audit();
    assert_eq!(audit.total, audit.sum(), "{deaths:?} {arena:#?}");
    assert_eq!((audit.violations, audit.errors), (0, 0), "{deaths:?} {arena:#?}");
    let roll = arena.memory.roll().expect("a roll");
    for party in arena.parties() {
        // A party may die before it counts its boot.
        let ended = if *party == Party::Linux { deaths.kills } else { deaths.resets };
        let boot = roll.last_boot(party.slot()).expect("a slot").expect("begun");
        assert!(boot.number() <= ended + 1, "{party:?}: {boot:?} {deaths:?}");
    }
    let ended = deaths.kills + deaths.resets * options.cores;
    let region = arena.memory.region().expect("a lock");
    // Each death costs one acquisition at most: one that was not counted in the ledger.
    let uncounted = region.acquisitions() - u64::from(audit.total);
    assert!(uncounted <= u64::from(ended), "{uncounted} {deaths:?} {arena:#?}");
    assert!(region.recoveries() <= ended, "{deaths:?} {arena:#?}");
    assert!(region.word().is_free() && !region.word().owner_died(), "{:?}", region.word());
    println!(
        "    {} resets, {} kills: {} critical sections, {} recoveries, {} sections completed",
        deaths.resets,
        deaths.kills,
        audit.total,
        region.recoveries(),
        audit.completed
    );
}
