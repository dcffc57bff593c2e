//! Checks that a process with exit handlers releases its locks when it ends, and never before.

use std::sync::atomic::Ordering::Relaxed;

use shmlock::ShmLock;
use shmlock_tests::{Account, Actor, Fixture, actor, quietly, until};

const ENDING: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// The options of a waiter that notices nothing by itself: only a wake ends its sleep.
const NEVER: &str = "poll=3600000";

/// Starts a process with handlers that holds the lock, and a process that sleeps on it.
fn pair(name: &str, which: &str) -> (Actor, Actor) {
    let (mut holder, mut waiter) = (actor!("{name}"), actor!("{name} {NEVER}"));
    holder.ask(format_args!("handlers {which}"));
    holder.ask("lock l");
    waiter.tell("lock l");
    holder.sees_a_waiter();
    (holder, waiter)
}

/// Asserts that a handler released the lock to the waiter. Recovery by the kernel's proof would
/// name the dead owner.
fn acquires_from_handler(waiter: &mut Actor) {
    waiter.done();
    assert_eq!(waiter.ask("recovered l"), "somebody", "the critical section was cut short");
    waiter.ask("consistent l");
    waiter.ask("release l");
}

#[test]
fn a_process_that_calls_exit_releases_to_the_waiter() {
    let fixture = Fixture::new();
    for which in ["all", "exit"] {
        let (mut holder, mut waiter) = pair(&fixture.name("l"), which);
        holder.tell("die exit");
        acquires_from_handler(&mut waiter);
        assert_eq!(holder.wait().code(), Some(0));
    }
}

#[test]
fn a_process_ended_by_a_signal_releases_to_the_waiter_and_dies_by_that_signal() {
    let fixture = Fixture::new();
    for which in ["all", "signals"] {
        for signal in ENDING {
            let (mut holder, mut waiter) = pair(&fixture.name("l"), which);
            holder.signal(signal);
            acquires_from_handler(&mut waiter);
            holder.ends_by(signal);
        }
    }
}

#[test]
fn nested_guards_and_unguarded_holds_are_all_released_at_exit() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    for end in ["die exit", "raise 15"] {
        let (mut holder, mut waiter) = (actor!("{name}"), actor!("{name} {NEVER}"));
        holder.ask("handlers all");
        for acquire in ["guard l", "lock l", "guard l"] {
            holder.ask(acquire);
        }
        waiter.tell("lock l");
        holder.sees_a_waiter();
        holder.tell(end);
        acquires_from_handler(&mut waiter);
        holder.wait();
    }
}

#[test]
fn every_lock_of_the_process_is_released() {
    let fixture = Fixture::new();
    for end in ["die exit", "raise 15"] {
        let mut holder = actor!();
        holder.ask("handlers all");
        let mut waiters = Vec::new();
        for part in ["a", "b", "c"] {
            let name = fixture.name(part);
            holder.ask(format_args!("open {part} {name}"));
            holder.ask(format_args!("lock {part}"));
            let mut waiter = actor!("{name} {NEVER}");
            waiter.tell("lock l");
            until(|| holder.ask(format_args!("check {part}")).contains("waiters=true"));
            waiters.push(waiter);
        }
        holder.tell(end);
        waiters.iter_mut().for_each(acquires_from_handler);
        holder.wait();
    }
}

#[test]
fn without_a_handler_for_the_cause_the_kernel_proves_the_death() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    for (which, end) in [("exit", "raise 15"), ("signals", "die exit")] {
        let (mut holder, mut next) = (actor!("{name}"), actor!("{name}"));
        holder.ask(format_args!("handlers {which}"));
        holder.ask("lock l");
        let record = holder.ask("holder l");
        holder.tell(end);
        holder.wait();
        next.ask("lock l");
        assert_eq!(next.ask("recovered l"), record);
        next.ask("consistent l");
    }
}

#[test]
fn an_earlier_handler_runs_and_the_critical_section_continues() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    for kind in ["", "info"] {
        let (mut holder, mut other) = (actor!("{name}"), actor!("{name}"));
        for signal in ENDING {
            holder.ask(format_args!("note {signal} {kind}"));
        }
        holder.ask("handlers all");
        holder.ask("lock l");
        for signal in ENDING {
            holder.signal(signal);
            until(|| holder.ask(format_args!("noted {signal}")) == "1");
            assert_eq!(
                other.ask("try l"),
                "false",
                "the lock was released inside the critical section"
            );
            assert!(other.ask("check l").contains("Held(Alive)"));
        }
        assert_eq!(holder.ask("held l"), "true");
        holder.ask("release l");
        assert_eq!(other.ask("try l"), "true");
        assert_eq!(other.ask("recovered l"), "no");
    }
}

#[test]
fn an_earlier_handler_may_call_exit() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let (mut holder, mut waiter) = (actor!("{name}"), actor!("{name} {NEVER}"));
    holder.ask("exit-on 15");
    holder.ask("handlers all");
    holder.ask("lock l");
    waiter.tell("lock l");
    holder.sees_a_waiter();
    holder.signal(libc::SIGTERM);
    acquires_from_handler(&mut waiter);
    assert_eq!(holder.wait().code(), Some(7));
}

#[test]
fn a_signal_that_was_ignored_stays_ignored() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let (mut holder, mut other) = (actor!("{name}"), actor!("{name}"));
    holder.ask("ignore 1");
    holder.ask("handlers all");
    holder.ask("lock l");
    holder.signal(libc::SIGHUP);
    assert_eq!(holder.ask("held l"), "true");
    assert_eq!(other.ask("try l"), "false");
    holder.signal(libc::SIGTERM);
    holder.ends_by(libc::SIGTERM);
    other.ask("lock l");
    other.ask("consistent l");
}

#[test]
fn installing_twice_has_the_effect_of_once() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let (mut holder, mut waiter) = (actor!("{name}"), actor!("{name} {NEVER}"));
    holder.ask("note 1");
    for which in ["signals", "all", "exit", "all"] {
        holder.ask(format_args!("handlers {which}"));
    }
    holder.ask("lock l");
    holder.signal(libc::SIGHUP);
    until(|| holder.ask("noted 1") != "0");
    assert_eq!(holder.ask("noted 1"), "1", "the earlier handler did not run once");
    waiter.tell("lock l");
    holder.sees_a_waiter();
    holder.signal(libc::SIGTERM);
    acquires_from_handler(&mut waiter);
    holder.ends_by(libc::SIGTERM);
}

#[test]
fn a_process_that_only_waits_dies_without_disturbing_the_owner() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut holder = actor!("{name}");
    for signal in ENDING {
        holder.ask("lock l");
        let mut waiter = actor!("{name} {NEVER}");
        waiter.ask("handlers all");
        waiter.tell("lock l");
        holder.sees_a_waiter();
        waiter.signal(signal);
        waiter.ends_by(signal);
        assert_eq!(holder.ask("held l"), "true");
        holder.ask("release l");
    }
    let health = holder.ask("check l");
    assert!(health.contains("recoveries=0") && health.contains("healthy=true"), "{health}");
}

#[test]
fn the_end_of_a_forked_child_releases_its_own_locks_and_not_its_parents() {
    let fixture = Fixture::new();
    let (name, own) = (fixture.name("l"), fixture.name("own"));
    let (mut parent, mut other) = (actor!("{name}"), actor!("{name}"));
    parent.ask("handlers all");
    parent.ask("lock l");
    for (end, status) in [("die exit", "exit 0"), ("raise 15", "signal 15")] {
        let mut idle = parent.fork(); // holds no lock of its own
        idle.tell(end);
        assert_eq!(parent.ask(format_args!("reap {}", idle.number())), status);
        let (mut child, mut waiter) = (parent.fork(), actor!("{own} {NEVER}"));
        child.ask(format_args!("open m {own}"));
        child.ask("lock m");
        waiter.tell("lock l");
        until(|| child.ask("check m").contains("waiters=true"));
        child.tell(end);
        acquires_from_handler(&mut waiter);
        assert_eq!(parent.ask(format_args!("reap {}", child.number())), status);
        assert_eq!(other.ask("try l"), "false", "{end}: the parent's lock was released");
        assert!(other.ask("check l").contains("Held(Alive)"));
    }
    parent.ask("release l");
    assert_eq!(other.ask("try l"), "true");
    assert_eq!(other.ask("recovered l"), "no");
}

/// Repeats `a_process_killed_anywhere_in_its_life_blocks_no_other` with a signal that the handlers
/// catch.
#[test]
fn a_process_terminated_anywhere_in_its_life_blocks_no_other() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let account = Account::new();
    let mut parent = actor!();
    parent.ask("handlers all");
    for round in 0..100_u64 {
        let mut child = parent.fork();
        let before = account.rounds.load(Relaxed);
        child.tell(format_args!("churn {name} {} 0 0", account.path()));
        until(|| account.rounds.load(Relaxed) > before + round % 7);
        child.signal(libc::SIGTERM);
        let lock = quietly(|| ShmLock::open(&name)).unwrap();
        let guard = lock.lock().unwrap();
        let after_death = guard.recovered().is_some();
        account.section(u64::MAX, 1, after_death);
        if after_death {
            guard.declare_consistent().unwrap();
        }
        drop(guard);
        assert_eq!(parent.ask(format_args!("reap {}", child.number())), "signal 15");
        drop(lock);
    }
    fixture.visit(&name);
    let _ = account.balance();
}
