//! Checks one lock shared by processes of several architectures at one time: x86-64, 64-bit and
//! 32-bit ARM.
//!
//! `SHMLOCK_ACTORS` names the actor of each: `aarch64=qemu-aarch64 /path/actor,armv7=qemu-arm
//! /path/actor`; this machine's own takes part anyway. Without the variable these tests are
//! skipped, and say so. `cross-tests/mixed.sh` runs them.

use std::env;
use std::sync::atomic::Ordering::Relaxed;

use shmlock_tests::{Account, Actor, Fixture, rounds, skipped};

/// The options of a waiter that notices nothing by itself: a process of another architecture has to
/// wake it.
const NEVER: &str = "poll=3600000";

/// The number of critical sections of all processes together.
const SECTIONS: u64 = 3_000_000;

/// Returns the name of each architecture and the command that starts its actor. Returns `None`, and
/// reports a skipped test, if there is only this machine's own.
fn processors() -> Option<Vec<(String, String)>> {
    let Ok(others) = env::var("SHMLOCK_ACTORS") else {
        skipped("SHMLOCK_ACTORS names no actor of another processor");
        return None;
    };
    let split = |entry: &str| {
        let (name, command) = entry.split_once('=').expect("NAME=COMMAND");
        (name.to_owned(), command.to_owned())
    };
    let own = (env::consts::ARCH.to_owned(), env!("CARGO_BIN_EXE_actor").to_owned());
    let all: Vec<_> = [own].into_iter().chain(others.split(',').map(split)).collect();
    eprintln!("processors: {all:?}");
    Some(all)
}

fn start((name, command): &(String, String), lock: &str, options: &str) -> Actor {
    let mut actor = Actor::spawn_by(command);
    actor.ask(format_args!("open l {lock} desc={name} {options}"));
    actor
}

/// Yields every ordered pair of different elements.
fn pairs<T>(all: &[T]) -> impl Iterator<Item = (&T, &T)> {
    all.iter().enumerate().flat_map(move |(i, one)| {
        all.iter().enumerate().filter(move |(j, _)| i != *j).map(move |(_, other)| (one, other))
    })
}

#[test]
fn processes_of_all_processors_lose_no_count_and_no_wake() {
    let fixture = Fixture::new();
    let Some(processors) = processors() else { return };
    let (name, account) = (fixture.name("l"), Account::new());
    let mut all: Vec<Actor> =
        processors.iter().map(|processor| start(processor, &name, NEVER)).collect();
    let (actors, each) = (all.len() as u64, rounds(SECTIONS).div_ceil(all.len() as u64));
    for actor in &mut all {
        actor.tell(format_args!("count l {} {each} {actors}", account.path()));
    }
    for actor in &mut all {
        assert_eq!(actor.done(), "0", "a process gave up");
    }
    assert_eq!(account.balance(), each * actors);
    assert!(all[0].ask("check l").contains("recoveries=0"), "a living process was judged dead");
}

/// The negative control: without the lock, counts are lost.
#[test]
fn processes_of_all_processors_lose_counts_without_the_lock() {
    const ROUNDS: u64 = 100_000;
    let _fixture = Fixture::new();
    let Some(processors) = processors() else { return };
    let mut all: Vec<Actor> =
        processors.iter().map(|(_, command)| Actor::spawn_by(command)).collect();
    let actors = all.len() as u64;
    let lost = (0..200).any(|_| {
        let account = Account::new();
        for actor in &mut all {
            actor.tell(format_args!("count - {} {ROUNDS} {actors}", account.path()));
        }
        for actor in &mut all {
            actor.done();
        }
        account.count.load(Relaxed) < ROUNDS * actors
    });
    assert!(lost, "the account does not show missing exclusion");
}

#[test]
fn each_architecture_sees_the_holder_of_another_and_is_woken_by_it() {
    let fixture = Fixture::new();
    let Some(processors) = processors() else { return };
    let name = fixture.name("l");
    for (one, other) in pairs(&processors) {
        let (mut holder, mut waiter) = (start(one, &name, NEVER), start(other, &name, NEVER));
        holder.ask("lock l");
        let record = waiter.ask("holder l");
        assert!(
            record.starts_with(&format!("{} ", holder.pid())) && record.ends_with(&one.0),
            "{one:?} {other:?}: {record}"
        );
        assert_eq!(record, holder.ask("holder l"), "both read the same record");
        assert!(waiter.ask("check l").contains("Held(Alive)"));
        assert_eq!(waiter.refuse("for l 1"), "TimedOut");
        waiter.tell("lock l");
        holder.sees_a_waiter();
        holder.ask("release l");
        waiter.done();
        assert_eq!(waiter.ask("recovered l"), "no");
    }
}

#[test]
fn each_architecture_recovers_from_the_death_of_another() {
    let fixture = Fixture::new();
    let Some(processors) = processors() else { return };
    let name = fixture.name("l");
    for (one, other) in pairs(&processors) {
        for asleep in [true, false] {
            let (mut holder, mut waiter) = (start(one, &name, ""), start(other, &name, ""));
            holder.ask("lock l");
            let record = holder.ask("holder l");
            if asleep {
                waiter.tell("lock l");
                holder.sees_a_waiter();
            }
            holder.kill();
            if !asleep {
                waiter.tell("lock l");
            }
            waiter.done();
            assert_eq!(waiter.ask("recovered l"), record, "{one:?} {other:?}");
            waiter.ask("consistent l");
            waiter.ask("release l");
        }
    }
    assert!(fixture.files().is_empty());
}
