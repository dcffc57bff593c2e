//! Checks owners, waiters and openers that die in any way: no waiter hangs, and the next owner
//! learns of the death.

use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use shmlock::ShmLock;
use shmlock_tests::{Account, Actor, Fixture, actor, quietly, rounds, until};

/// A poll interval longer than any test: a waiter that needs it to make progress hangs.
const NEVER: &str = "poll=3600000";

/// Deaths without any clean-up, so that only the kernel can prove them.
const SUDDEN: [&str; 8] =
    ["SIGKILL", "SIGTERM", "abort", "segv", "exit", "_exit", "exec", "SIGQUIT"];

/// Ends the actor in this way. A signal ends it whatever it is doing.
fn end(actor: &mut Actor, how: &str) {
    match how {
        "SIGKILL" => actor.signal(libc::SIGKILL),
        "SIGTERM" => actor.signal(libc::SIGTERM),
        "SIGQUIT" => actor.signal(libc::SIGQUIT),
        how => actor.tell(format_args!("die {how}")),
    }
    let status = actor.wait();
    let signal = match how {
        "SIGKILL" => Some(libc::SIGKILL),
        "SIGTERM" => Some(libc::SIGTERM),
        "SIGQUIT" => Some(libc::SIGQUIT),
        "abort" => Some(libc::SIGABRT),
        "segv" => Some(libc::SIGSEGV),
        _ => None,
    };
    assert_eq!(status.signal(), signal, "{how}: {status}");
}

#[test]
fn a_sleeping_waiter_recovers_from_an_owner_that_died_in_any_way() {
    let fixture = Fixture::new();
    for how in SUDDEN {
        let name = fixture.name(how);
        let (mut owner, mut waiter) = (actor!("{name} desc=doomed"), actor!("{name}"));
        let uuid = owner.ask("lock l");
        assert_eq!(uuid, "");
        let record = owner.ask("holder l");
        waiter.tell("lock l");
        owner.sees_a_waiter();
        end(&mut owner, how);
        waiter.done();
        assert_eq!(waiter.ask("recovered l"), record, "{how}: the dead owner is not named");
        waiter.ask("consistent l");
    }
}

#[test]
fn a_newcomer_recovers_at_once_whatever_its_poll_interval() {
    let fixture = Fixture::new();
    for (how, acquire) in
        SUDDEN.into_iter().zip(["lock l", "try l", "for l 0", "for l 1"].into_iter().cycle())
    {
        let name = fixture.name(how);
        let (mut owner, mut newcomer) = (actor!("{name}"), actor!("{name} {NEVER}"));
        owner.ask("lock l");
        let record = owner.ask("holder l");
        end(&mut owner, how);
        assert_ne!(newcomer.ask(acquire), "false", "{how}");
        assert_eq!(newcomer.ask("recovered l"), record, "{how}");
        newcomer.ask("consistent l");
    }
}

#[test]
fn an_owner_that_unwinds_or_returns_has_not_died() {
    let fixture = Fixture::new();
    for acquire in ["lock l", "guard l"] {
        for how in ["panic", "return"] {
            let name = fixture.name(how);
            let (mut owner, mut waiter) = (actor!("{name}"), actor!("{name} {NEVER}"));
            owner.ask(acquire);
            waiter.tell("lock l");
            owner.sees_a_waiter();
            end(&mut owner, how);
            waiter.done();
            assert_eq!(waiter.ask("recovered l"), "no", "{acquire}, {how}");
            assert!(waiter.ask("check l").contains("recoveries=0"));
        }
    }
}

#[test]
fn a_waiter_that_dies_disturbs_no_other_process() {
    let fixture = Fixture::new();
    for how in ["SIGKILL", "SIGTERM", "SIGQUIT"] {
        let name = fixture.name(how);
        let mut owner = actor!("{name}");
        owner.ask("lock l");
        let (mut doomed, mut next) = (actor!("{name} {NEVER}"), actor!("{name}"));
        doomed.tell("lock l");
        owner.sees_a_waiter();
        next.tell("lock l");
        end(&mut doomed, how);
        assert_eq!(owner.ask("held l"), "true");
        owner.ask("release l");
        next.done();
        assert_eq!(next.ask("recovered l"), "no", "{how}");
    }
}

#[test]
fn of_many_waiters_exactly_one_recovers_from_the_dead_owner() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut owner = actor!("{name}");
    owner.ask("lock l");
    let record = owner.ask("holder l");
    let mut waiters: Vec<Actor> = (0..5).map(|_| actor!("{name}")).collect();
    for waiter in &mut waiters {
        waiter.tell("lock l");
        waiter.tell("recovered l");
        waiter.tell("release l");
    }
    owner.sees_a_waiter();
    owner.kill();
    let mut reports: Vec<String> = waiters
        .iter_mut()
        .map(|waiter| {
            waiter.done();
            let report = waiter.done();
            waiter.done();
            report
        })
        .collect();
    reports.sort();
    assert_eq!(
        reports.iter().filter(|report| **report == record).count(),
        1,
        "not exactly one recovered: {reports:?}"
    );
    assert_eq!(
        reports.iter().filter(|report| *report == "somebody").count(),
        4,
        "a later owner did not learn of the death: {reports:?}"
    );
    let last = &mut waiters[0];
    assert!(last.ask("check l").contains("recoveries=1"));
    last.ask("lock l");
    last.ask("consistent l");
}

#[test]
fn a_stopped_owner_keeps_its_lock() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let (mut owner, mut other) = (actor!("{name}"), actor!("{name} poll=10"));
    owner.ask("lock l");
    owner.signal(libc::SIGSTOP);
    assert_eq!(other.refuse("for l 200"), "TimedOut");
    assert!(other.ask("check l").contains("Held(Alive)"));
    other.tell("lock l");
    owner.signal(libc::SIGCONT);
    owner.ask("release l");
    other.done();
    assert_eq!(other.ask("recovered l"), "no");
}

#[test]
fn an_idle_handle_that_dies_leaves_the_owner_alone() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let (mut owner, mut idle) = (actor!("{name}"), actor!("{name}"));
    owner.ask("lock l");
    idle.kill();
    assert_eq!(owner.ask("held l"), "true");
    owner.ask("release l");
    assert_eq!(owner.ask("recovered l"), "no");
    assert!(owner.ask("check l").contains("recoveries=0"));
}

/// Kills a child that opens, locks, releases and closes in a loop. The moment of the kill depends
/// on the child's progress.
#[test]
fn a_process_killed_anywhere_in_its_life_blocks_no_other() {
    const KILLS: u64 = 150;
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let account = Account::new();
    let mut parent = actor!();
    for kill in 0..rounds(KILLS) {
        let mut child = parent.fork();
        let before = account.rounds.load(Relaxed);
        account.met.store(0, Relaxed);
        child.tell(format_args!("churn {name} {} 0 1", account.path()));
        until(|| account.rounds.load(Relaxed) > before + kill % 7);
        for _ in 0..kill % 11 {
            thread::yield_now();
        }
        child.signal(libc::SIGKILL);
        assert_eq!(parent.ask(format_args!("reap {}", child.number())), "signal 9");
        let lock =
            quietly(|| ShmLock::builder(&name).poll_interval(Duration::from_secs(3600)).open())
                .unwrap();
        let guard = lock.lock().unwrap();
        if guard.recovered().is_some() {
            guard.declare_consistent().unwrap();
        }
        account.section(u64::MAX, 1, true);
        drop(guard);
        drop(lock);
        assert!(fixture.files().is_empty(), "the last close did not remove the file");
    }
    let _ = account.balance();
}
