//! Repeats the tests of the Python package that the project's users come from.

use std::fs::{self, File};
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use shmlock::{ExitEvent, ShmLock};
use shmlock_tests::{Account, Actor, Capability, Fixture, actor, can, quietly, until};

const ACTORS: u64 = 15;
const ROUNDS: u64 = 2_000;
const MILLISECOND: Duration = Duration::from_millis(1);

/// Runs fifteen counting processes with this time limit for each attempt (empty: none). Returns the
/// number of failed attempts.
fn processes_count(limit: &str) -> u64 {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let account = Account::new();
    let mut all: Vec<Actor> = (0..ACTORS).map(|_| actor!("{name}")).collect();
    let count = format!("count l {} {ROUNDS} {ACTORS} {limit}", account.path());
    for actor in &mut all {
        actor.tell(&count);
    }
    let failures = all.iter_mut().map(|actor| actor.done().parse::<u64>().unwrap()).sum();
    assert_eq!(
        account.balance(),
        ACTORS * ROUNDS - failures,
        "the count is not the attempts less the failures"
    );
    assert_eq!(all[0].ask("locked l"), "false", "the lock is held at the end");
    assert_eq!(all[0].ask("holder l"), "nobody");
    failures
}

#[test]
fn fifteen_processes_count_to_thirty_thousand() {
    assert_eq!(processes_count(""), 0);
}

#[test]
fn fifteen_processes_that_wait_a_millisecond_count_all_but_their_failures() {
    assert!(processes_count("1") < ACTORS * ROUNDS, "no attempt succeeded");
}

/// Returns `true` if this attempt acquired the lock in time.
fn one_attempt(
    lock: &ShmLock,
    account: &Account,
    me: u64,
    round: u64,
    limit: Option<Duration>,
) -> bool {
    match limit.map_or_else(|| lock.lock(), |limit| lock.try_lock_for(limit)) {
        Ok(_guard) => {
            account.section(me, round, false);
            true
        }
        Err(error) => {
            assert!(error.is_timed_out(), "{error}");
            false
        }
    }
}

/// Runs fifteen counting threads, as [`processes_count`] does processes.
fn threads_count(limit: Option<Duration>) -> u64 {
    let fixture = Fixture::new();
    let account = Account::new();
    let lock = quietly(|| ShmLock::open(&fixture.name("l"))).unwrap();
    let failures = thread::scope(|scope| {
        let threads: Vec<_> = (1..=ACTORS)
            .map(|me| {
                let (lock, account) = (quietly(|| lock.try_clone()).unwrap(), &account);
                scope.spawn(move || {
                    account.meet(ACTORS);
                    (0..ROUNDS)
                        .filter(|&round| !one_attempt(&lock, account, me, round, limit))
                        .count() as u64
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(account.balance(), ACTORS * ROUNDS - failures);
    assert!(!lock.is_locked().unwrap(), "the lock is held at the end");
    failures
}

#[test]
fn fifteen_threads_count_to_thirty_thousand() {
    assert_eq!(threads_count(None), 0);
}

#[test]
fn fifteen_threads_that_wait_a_millisecond_count_all_but_their_failures() {
    assert!(threads_count(Some(MILLISECOND)) < ACTORS * ROUNDS, "no attempt succeeded");
}

#[test]
fn the_waiter_recovers_from_a_terminated_holder() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let (mut holder, mut waiter) = (actor!("{name}"), actor!("{name}"));
    holder.ask("lock l");
    waiter.tell("lock l");
    holder.sees_a_waiter();
    holder.signal(libc::SIGTERM);
    holder.ends_by(libc::SIGTERM);
    waiter.done();
    waiter.ask("consistent l");
}

#[test]
fn dropping_a_handle_releases_the_lock() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let (mut first, mut waiter) = (actor!("{name}"), actor!("{name}"));
    first.ask("lock l");
    waiter.tell("lock l");
    first.sees_a_waiter();
    first.ask("close l");
    waiter.done();
    assert_eq!(waiter.ask("recovered l"), "no", "closing counted as a death");
}

#[test]
fn a_process_that_ends_normally_releases_the_lock() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let (mut first, mut waiter) = (actor!("{name}"), actor!("{name}"));
    first.ask("lock l");
    waiter.tell("lock l");
    first.sees_a_waiter();
    drop(first);
    waiter.done();
    assert_eq!(waiter.ask("recovered l"), "no");
}

#[test]
fn two_locks_alternate_between_two_processes() {
    let fixture = Fixture::new();
    let (one, two) = (fixture.name("one"), fixture.name("two"));
    let (mut left, mut right) = (actor!("{one}"), actor!("{two}"));
    left.ask(format_args!("open m {two}"));
    right.ask(format_args!("open m {one}"));
    left.ask("lock l");
    right.ask("lock l");
    for _ in 0..20 {
        // Each waits for the other's lock, and releases its own in between.
        left.ask("release l");
        right.ask("lock m");
        assert_eq!(left.ask("try l"), "false");
        right.ask("release l");
        left.ask("lock m");
        assert_eq!(right.ask("try l"), "false");
        right.ask("release m");
        left.ask("lock l");
        left.ask("release m");
        right.ask("lock l");
    }
}

#[test]
fn an_exit_event_stops_a_blocked_waiter() {
    if !can(Capability::SleepOnTwoWords) {
        return;
    }
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let mut holder = actor!("{name}");
    holder.ask("lock l");
    let holder_pid = holder.pid();
    let stop = ExitEvent::new();
    let builder =
        ShmLock::builder(&name).exit_event(&stop).poll_interval(Duration::from_secs(3600));
    let lock = quietly(|| builder.open()).unwrap();
    let other = quietly(|| lock.try_clone()).unwrap();
    thread::scope(|scope| {
        let waiter = scope.spawn(move || {
            let error = other.lock().map(drop).unwrap_err();
            assert!(error.is_cancelled(), "{error}");
            assert_eq!(error.holder().and_then(shmlock::Holder::pid), Some(holder_pid));
        });
        until(|| lock.status().unwrap().waiters);
        stop.set().unwrap();
        waiter.join().unwrap();
    });
    assert!(lock.lock().unwrap_err().is_cancelled(), "the event did not stay set");
    stop.clear().unwrap();
    assert!(
        lock.try_lock_for(MILLISECOND).unwrap_err().is_timed_out(),
        "a cleared event ended the wait"
    );
    stop.set().unwrap();
    holder.ask("release l");
    assert!(lock.lock().is_ok(), "a free lock is acquired even if the event is set");
}

#[test]
fn a_named_exit_event_stops_waiters_of_other_processes() {
    if !can(Capability::SleepOnTwoWords) {
        return;
    }
    let fixture = Fixture::new();
    let (name, stop) = (fixture.name("l"), fixture.name("stop"));
    let mut holder = actor!("{name}");
    holder.ask("lock l");
    for options in ["wait=futex", "wait=poll"] {
        let (mut first, mut second, mut switch) = (actor!(), actor!(), actor!());
        switch.ask(format_args!("event e {stop}"));
        for waiter in [&mut first, &mut second] {
            waiter.ask(format_args!("event e {stop}"));
            waiter.ask(format_args!("open l {name} event=e poll=3600000 {options}"));
            waiter.tell("lock l");
        }
        if options == "wait=futex" {
            holder.sees_a_waiter();
        }
        switch.ask("set e");
        for waiter in [&mut first, &mut second] {
            assert_eq!(waiter.failed(), "Cancelled");
        }
        switch.ask("clear e");
        assert_eq!(first.refuse("for l 1"), "TimedOut");
    }
    assert_eq!(fixture.files().len(), 1, "the last close did not remove the event");
}

#[test]
fn an_empty_file_becomes_a_lock() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    put_incomplete(&name, &[]);
    let mut actor = actor!("{name}");
    assert_eq!(actor.ask("try l"), "true");
    assert_eq!(actor.ask("recovered l"), "no");
}

#[test]
fn a_file_of_zeros_becomes_a_lock() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    put_incomplete(&name, &[0; 192]);
    let mut actor = actor!("{name}");
    assert_eq!(actor.ask("try l"), "true");
    assert_eq!(actor.ask("recovered l"), "no");
}

#[test]
fn an_empty_file_becomes_one_lock_for_many_openers_at_once() {
    let fixture = Fixture::new();
    let name = fixture.name("l");
    let account = Account::new();
    let mut all: Vec<Actor> = (0..4).map(|_| actor!()).collect();
    for _ in 0..20 {
        put_incomplete(&name, &[]);
        account.met.store(0, Relaxed);
        for actor in &mut all {
            actor.tell(format_args!("churn {name} {} 10 4", account.path()));
        }
        for actor in &mut all {
            actor.done();
        }
    }
    assert_eq!(account.balance(), 800);
}

/// Creates a file as a process that died while creating the lock might leave it.
fn put_incomplete(name: &str, content: &[u8]) {
    let path = format!("/dev/shm/{name}.shmlock");
    let file = File::create_new(&path).unwrap();
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    fs::write(&path, content).unwrap();
}
