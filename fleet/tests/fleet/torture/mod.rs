//! Tortures one lock: for so many seconds, processes of three machines use it at random, and they,
//! the members of etcd and the ways between them are disturbed meanwhile. A busy machine takes
//! longer: until there were enough disturbances and accepted writes to show something. The judge
//! keeps the account, which must balance in the end.
//!
//! `bash ci/fleet_torture.sh [SECONDS [SEED]]` runs it. The choices follow from the seed; the order
//! in which events meet does not. It is no test of every run, and it sleeps on purpose: in critical
//! sections and between disturbances.

mod disturb;
mod elections;
mod judge;

use std::time::{Duration, Instant};

use shmlock_fleet::shmlock::ShmLock;

use crate::driver::{Actor, LATE};
use crate::scene::Scene;
use disturb::{MACHINES, World};
use elections::Elections;
use judge::{Judge, State};

/// The TTL in seconds of the workers: the shortest that etcd grants with its default settings.
const SHORT: u64 = 2;

/// After the last disturbance, all processes have acquired the lock once more within this time, on
/// a quiet machine of two processors within a tenth of it.
const BOUND: Duration = Duration::from_secs(60);

/// A torture goes on until it has had so many disturbances for each of its minutes, and so many
/// accepted writes: fewer show nothing. The watchdog bounds it.
const DISTURBANCES_A_MINUTE: u64 = 60;
const WRITES_A_MINUTE: u64 = 20;

#[test]
#[ignore = "it takes as long as it is told: ci/fleet_torture.sh"]
fn torture() {
    let mut arguments = std::env::var("SHMLOCK_FLEET_TORTURE").unwrap_or_default();
    if !arguments.contains(' ') {
        arguments = format!("{arguments} {}", fastrand::u64(..));
    }
    let (seconds, seed) = arguments.split_once(' ').expect("two words");
    let seconds: u64 = seconds.parse().unwrap_or(60);
    let seed: u64 = seed.parse().expect("SHMLOCK_FLEET_TORTURE is SECONDS SEED");
    println!("torture {seconds} {seed}");
    let Some(scene) = Scene::networked() else { return };
    run(scene, seconds, seed);
}

fn run(scene: Scene, seconds: u64, seed: u64) {
    let sockets = scene.members.iter().map(shmlock_tests::etcd::Member::socket).collect();
    let elections = Elections::watch(sockets);
    let mut world = World::new(scene, Judge::new(seed), seed);
    let begin = Instant::now();
    let least = |a_minute: u64| (a_minute * seconds).div_ceil(60);
    let end = begin + Duration::from_secs(seconds);
    world.disturb(end, least(DISTURBANCES_A_MINUTE), least(WRITES_A_MINUTE));

    let after = Instant::now();
    world.scene.until_healthy(&[0, 1, 2]);
    let healthy = after.elapsed();
    world.judge.state().is_over = true;
    for worker in &mut world.workers {
        assert_eq!(worker.answer(), "rest");
    }
    let rested = after.elapsed();
    // All at once, so that they wait for each other.
    world.workers.iter_mut().for_each(|worker| worker.tell("once"));
    let more: Vec<String> = world.workers.iter_mut().map(Actor::answer).collect();
    let settled = after.elapsed();
    // On a busy machine, a lease may end between an acquisition and its release.
    let may_be_late = settled >= rested + Duration::from_secs(SHORT) * 9 / 10;
    let mut faults: Vec<String> = more
        .into_iter()
        .filter(|one| one != "done" && !(may_be_late && one.contains(LATE)))
        .map(|one| format!("at the end: {one}"))
        .collect();
    if settled > BOUND {
        faults.push(format!("all have acquired the lock once more after {settled:?} only"));
    }
    world.workers.clear();
    // Killed workers leave keys, which go with their leases.
    world.scene.until_queue_has(0);
    for machine in MACHINES {
        let local = ShmLock::builder(world.scene.name()).directory(world.scene.machine(machine));
        let lock = local.open().expect("the local lock");
        if lock.try_lock().expect("no error").is_none() {
            faults.push(format!("the local lock of machine {machine} is not free"));
        }
    }

    let state = world.judge.state();
    let elections = elections.all();
    faults.extend(judged(&state, &elections));
    println!("seed {seed}, {:.1} s", begin.elapsed().as_secs_f64());
    let line = |number: u64, text: &str| println!("{number:>8}  {text}");
    line(state.acquisitions() as u64, "acquisitions, each with a token of its own");
    line(state.accepted, "accepted writes");
    line(state.refused, "refused requests");
    line(state.early.len() as u64, "of them before the own deadline, at an election");
    line(elections.len() as u64, "terms");
    world.counts.iter().for_each(|(text, &number)| line(number, text));
    state.notes.iter().for_each(|(text, &number)| line(number, text));
    println!(
        "after the last disturbance: members healthy {:.1} s, workers at rest {:.1} s, all have \
         acquired once more {:.1} s",
        healthy.as_secs_f64(),
        rested.as_secs_f64(),
        settled.as_secs_f64()
    );
    for fault in &faults {
        println!("FAULT {fault}");
    }
    assert!(
        faults.is_empty(),
        "{} faults; the same choices: torture {seconds} {seed}",
        faults.len()
    );
}

/// Returns the faults of the account.
fn judged(state: &State, elections: &[Instant]) -> Vec<String> {
    let mut faults = state.faults.clone();
    if state.value != state.accepted {
        faults.push(format!("{} accepted writes count {}", state.accepted, state.value));
    }
    let ttl = Duration::from_secs(SHORT);
    for &(begin, refused) in &state.early {
        // A leader of etcd 3.4 that hung may revoke living leases when it goes on, and then there
        // was an election.
        let is_excused = |&at: &Instant| at + 2 * ttl > begin && at < refused + ttl;
        if !elections.iter().any(is_excused) {
            faults.push("a token was refused before its holder's own deadline: two holders".into());
        }
    }
    faults
}
