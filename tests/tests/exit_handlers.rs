//! Processes with exit handlers: they let others in when they end, and never before.

use std::sync::atomic::Ordering::Relaxed;

use shmlock::ShmLock;
use shmlock_tests::{Account, Actor, Fixture, actor, quietly, until};

const ENDING: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Waiters that notice nothing by themselves: only a wake gets them on.
const NEVER: &str = "poll=3600000";

/// A process with handlers that holds the lock, and one that sleeps on it.
fn pair(name: &str, which: &str) -> (Actor, Actor) {
    let (mut holder, mut waiter) = (actor!("{name}"), actor!("{name} {NEVER}"));
    holder.ask(format_args!("handlers {which}"));
    holder.ask("lock l");
    waiter.tell("lock l");
    holder.sees_a_waiter();
    (holder, waiter)
}

/// The waiter has it, from a handler and not by the kernel's proof: that would name the dead.
fn was_let_in(waiter: &mut Actor) {
    waiter.done();
    assert_eq!(waiter.ask("recovered l"), "somebody", "the section was cut short");
    waiter.ask("consistent l");
    waiter.ask("release l");
}

#[test]
fn a_process_that_calls_exit_lets_the_waiter_in() {
    let fixture = Fixture::new();
    for which in ["all", "exit"] {
        let (mut holder, mut waiter) = pair(&fixture.name("l"), which);
        holder.tell("die exit");
        was_let_in(&mut waiter);
        assert_eq!(holder.wait().code(), Some(0));
    }
}

#[test]
fn a_process_ended_by_a_signal_lets_the_waiter_in_and_dies_by_that_signal() {
    let fixture = Fixture::new();
    for which in ["all", "signals"] {
        for signal in ENDING {
            let (mut holder, mut waiter) = pair(&fixture.name("l"), which);
            holder.signal(signal);
            was_let_in(&mut waiter);
            holder.ends_by(signal);
        }
    }
}

#[test]
fn a_guard_is_given_back_as_an_unguarded_hold_is_and_nested_ones_at_once() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    for end in ["die exit", "raise 15"] {
        let (mut holder, mut waiter) = (actor!("{name}"), actor!("{name} {NEVER}"));
        holder.ask("handlers all");
        for take in ["guard l", "lock l", "guard l"] {
            holder.ask(take);
        }
        waiter.tell("lock l");
        holder.sees_a_waiter();
        holder.tell(end);
        was_let_in(&mut waiter);
        holder.wait();
    }
}

#[test]
fn every_lock_of_the_process_is_given_back() {
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
        waiters.iter_mut().for_each(was_let_in);
        holder.wait();
    }
}

#[test]
fn without_the_fitting_handler_the_kernel_tells() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    for (which, end) in [("exit", "raise 15"), ("signals", "die exit")] {
        let (mut holder, mut next) = (actor!("{name}"), actor!("{name}"));
        holder.ask(format_args!("handlers {which}"));
        holder.ask("lock l");
        let who = holder.ask("holder l");
        holder.tell(end);
        holder.wait();
        next.ask("lock l");
        assert_eq!(next.ask("recovered l"), who);
        next.ask("consistent l");
    }
}

#[test]
fn a_handler_that_was_there_before_runs_and_the_section_goes_on() {
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
                "the lock was given back in the middle of a section"
            );
            assert!(other.ask("check l").contains("Theirs(Alive)"));
        }
        assert_eq!(holder.ask("held l"), "true");
        holder.ask("release l");
        assert_eq!(other.ask("try l"), "true");
        assert_eq!(other.ask("recovered l"), "no");
    }
}

#[test]
fn a_handler_that_was_there_before_may_call_exit() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let (mut holder, mut waiter) = (actor!("{name}"), actor!("{name} {NEVER}"));
    holder.ask("exit-on 15");
    holder.ask("handlers all");
    holder.ask("lock l");
    waiter.tell("lock l");
    holder.sees_a_waiter();
    holder.signal(libc::SIGTERM);
    was_let_in(&mut waiter);
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
fn installing_twice_is_once() {
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
    assert_eq!(holder.ask("noted 1"), "1", "the former handler runs once");
    waiter.tell("lock l");
    holder.sees_a_waiter();
    holder.signal(libc::SIGTERM);
    was_let_in(&mut waiter);
    holder.ends_by(libc::SIGTERM);
}

/// The signal hits the first thread, which holds nothing. It has to stop the others before it gives
/// back what they hold. Other threads run on during exit(3): what they hold is theirs until the
/// process is gone.
#[test]
fn a_process_that_only_waits_dies_without_disturbing_anybody() {
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
fn the_end_of_a_forked_child_gives_back_the_childs_locks_and_not_the_parents() {
    let fixture = Fixture::new();
    let (name, own) = (fixture.name("l"), fixture.name("own"));
    let (mut parent, mut other) = (actor!("{name}"), actor!("{name}"));
    parent.ask("handlers all");
    parent.ask("lock l");
    for (end, status) in [("die exit", "exit 0"), ("raise 15", "signal 15")] {
        let mut idle = parent.fork(); // has nothing of its own in the place of what it inherited
        idle.tell(end);
        assert_eq!(parent.ask(format_args!("reap {}", idle.number())), status);
        let (mut child, mut waiter) = (parent.fork(), actor!("{own} {NEVER}"));
        child.ask(format_args!("open m {own}"));
        child.ask("lock m");
        waiter.tell("lock l");
        until(|| child.ask("check m").contains("waiters=true"));
        child.tell(end);
        was_let_in(&mut waiter);
        assert_eq!(parent.ask(format_args!("reap {}", child.number())), status);
        assert_eq!(other.ask("try l"), "false", "{end}: the parent's section goes on");
        assert!(other.ask("check l").contains("Theirs(Alive)"));
    }
    parent.ask("release l");
    assert_eq!(other.ask("try l"), "true");
    assert_eq!(other.ask("recovered l"), "no");
}

/// As `a_process_killed_anywhere_in_its_life_leaves_nobody_stuck`, by a signal that the handlers
/// catch.
#[test]
fn a_process_terminated_anywhere_in_its_life_leaves_nobody_stuck() {
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
